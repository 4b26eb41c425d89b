/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The wall behind the learner: what is not sound is published nowhere. */
#include "sidecar/publication.h"
#include "tests/engine/learner_fixture.h"

/* What would be published of this learner. There is no publisher: who gets to it dies. */
static struct sona_sidecar_publication of(const struct sona_learner *l)
{
    return (struct sona_sidecar_publication){
        .learner = l, .layout = &l->layout, .dirty = true, .version = 42};
}

static void refuses(const struct sona_learner *l, bool cold_new)
{
    struct sona_sidecar_publication p = of(l);

    p.cold_new = cold_new;
    sona_sidecar_publication_publish(&p, 1);
    cr_expect(eq(u64, atomic_load(&p.refused), 1));
    cr_expect(eq(u64, p.version, 42), "the last snapshot stays");
    cr_expect(not(p.dirty), "and it is not tried again before something is learned");
}

Test(publication, weights_that_are_not_sound_are_held_back_and_the_last_snapshot_stays)
{
    const sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 3), *sound = learner_copy(l);
    const float bad[] = {NAN, INFINITY, -INFINITY};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sona_learner_part(l, 1, l->layout.route_head)[i] = bad[i];
        refuses(l, true);
        sona_learner_touch_route(l, 1); /* else nobody says that it changed */
        refuses(l, false);
        memcpy(l, sound, l->bytes);
        sona_model_floats_of(sona_learner_hot(l), l->layout.micro_a)[i] = bad[i];
        refuses(l, false);
        memcpy(l, sound, l->bytes);
        sona_model_floats_of(sona_learner_cold(l), l->layout.base_b)[i] = bad[i];
        refuses(l, true);
        memcpy(l, sound, l->bytes);
    }
    free(sound);
    free(l);
}
