/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Sleeping without missing what was put there meanwhile; letters in order. */
#include <pthread.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "sidecar/attachment.h"
#include "sidecar/clock.h"
#include "sidecar/wake.h"

#define ROUNDS 20000u

struct table {
    struct sona_sidecar_wake ping_wake, pong_wake;
    _Atomic uint32_t ping, pong;
};

/* Wait until *word reaches n; a lost notification would cost the whole time-out each time. */
static void await(struct sona_sidecar_wake *wake, _Atomic uint32_t *word, uint32_t n)
{
    while (atomic_load_explicit(word, memory_order_acquire) < n) {
        sona_sidecar_wake_prepare(wake);
        if (atomic_load_explicit(word, memory_order_acquire) >= n)
            sona_sidecar_wake_cancel(wake);
        else
            sona_sidecar_wake_wait(wake, 10000000);
    }
}

static void *ponger(void *arg)
{
    struct table *t = arg;

    for (uint32_t n = 1; n <= ROUNDS; n++) {
        await(&t->pong_wake, &t->ping, n);
        atomic_store_explicit(&t->pong, n, memory_order_release);
        sona_sidecar_wake_notify(&t->ping_wake);
    }
    return NULL;
}

Test(wake, a_notification_between_looking_and_sleeping_is_not_lost, .timeout = 60)
{
    struct table t = {.ping = 0};
    pthread_t thread;
    uint64_t start = sona_sidecar_now_ms();

    cr_assert(eq(int, pthread_create(&thread, NULL, ponger, &t), 0));
    for (uint32_t n = 1; n <= ROUNDS; n++) {
        atomic_store_explicit(&t.ping, n, memory_order_release);
        sona_sidecar_wake_notify(&t.pong_wake);
        await(&t.ping_wake, &t.pong, n);
    }
    cr_assert(eq(int, pthread_join(thread, NULL), 0));
    cr_assert(lt(u64, sona_sidecar_now_ms() - start, 10000), "not one time-out of 10 s was needed");
}

Test(wake, a_time_out_ends_the_sleep)
{
    struct sona_sidecar_wake wake = {.asleep = 0};
    uint64_t start = sona_sidecar_now_us();

    sona_sidecar_wake_prepare(&wake);
    sona_sidecar_wake_wait(&wake, 2000);
    cr_assert(ge(u64, sona_sidecar_now_us() - start, 2000));
}

Test(mailbox, letters_come_out_in_the_order_they_were_put)
{
    struct sona_sidecar_mailbox *box = calloc(1, sizeof *box);
    struct sona_sidecar_letter letter;
    struct sona_sidecar_attachment *a = (void *)box, *b = (void *)(box + 1);

    sona_sidecar_mailbox_init(box);
    cr_assert(not(sona_sidecar_mailbox_take(box, &letter)));
    sona_sidecar_mailbox_put(box, SONA_SIDECAR_ATTACHED, a);
    sona_sidecar_mailbox_put(box, SONA_SIDECAR_ATTACHED, b);
    sona_sidecar_mailbox_put(box, SONA_SIDECAR_ENDED, a);
    cr_assert(sona_sidecar_mailbox_take(box, &letter));
    cr_assert(eq(ptr, letter.attachment, a));
    cr_assert(sona_sidecar_mailbox_take(box, &letter));
    cr_assert(eq(ptr, letter.attachment, b));
    cr_assert(sona_sidecar_mailbox_take(box, &letter));
    cr_assert(eq(int, (int)letter.kind, SONA_SIDECAR_ENDED));
    cr_assert(not(sona_sidecar_mailbox_take(box, &letter)));
    free(box);
}
