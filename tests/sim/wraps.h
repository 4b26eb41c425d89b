/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The names that the linker makes of a call that is replaced: __wrap_f stands in the place of f,
 * __real_f is f. The list that it is told is in meson.build. */
#ifndef SONA_TESTS_SIM_WRAPS_H
#define SONA_TESTS_SIM_WRAPS_H

#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

#include "shm/fault.h"
#include "shm/publisher.h"
#include "shm/ring.h"
#include "sidecar/chronicle.h"
#include "sidecar/clients.h"
#include "sidecar/log.h"
#include "sidecar/recall.h"
#include "sidecar/store/store.h"

/* NOLINTBEGIN: the names are the linker's. */
int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg);
int __wrap_pthread_setname_np(pthread_t thread, const char *name);
int __wrap_pthread_join(pthread_t thread, void **ret);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr);
int __wrap_pthread_cond_destroy(pthread_cond_t *cond);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until);
int __wrap_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_cond_broadcast(pthread_cond_t *cond);
int __wrap_sched_yield(void);
int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left);
int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
long sim_futex(const uint32_t *word, int op, uint32_t value, const struct timespec *timeout);

long __wrap_syscall(long number, ...);
ssize_t __wrap_getrandom(void *buffer, size_t n, unsigned flags);
int __wrap_setpriority(__priority_which_t which, id_t who, int priority);

void *__real_mmap64(void *at, size_t n, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t n, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t n);
int __wrap_munmap(void *at, size_t n);
void *__real_memset(void *at, int value, size_t n);
void *__wrap_memset(void *at, int value, size_t n);
int __wrap_mlock(const void *at, size_t n);
int __wrap_mlock2(const void *at, size_t n, unsigned flags);
int __wrap_posix_fallocate64(int fd, off_t from, off_t n);
int __wrap_fallocate64(int fd, int mode, off_t from, off_t n);

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __real_shm_open(const char *name, int flags, mode_t mode);
int __wrap_shm_open(const char *name, int flags, mode_t mode);
int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);
int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __real_accept4(int fd, struct sockaddr *address, socklen_t *n, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *n, int flags);
int __real_connect(int fd, const struct sockaddr *address, socklen_t n);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t n);
int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags);
int __real_eventfd_write(int fd, eventfd_t value);
int __wrap_eventfd_write(int fd, eventfd_t value);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *n);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *n);
int __real_fcntl64(int fd, int op, ...);
int __wrap_fcntl64(int fd, int op, ...);
int __real_close(int fd);
int __wrap_close(int fd);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout);
long __real_syscall(long number, ...);

struct rcu_head;
void __wrap_urcu_memb_register_thread(void);
void __wrap_urcu_memb_unregister_thread(void);
void __wrap_urcu_memb_read_lock(void);
void __wrap_urcu_memb_read_unlock(void);
void __wrap_urcu_memb_call_rcu(struct rcu_head *head, void (*run)(struct rcu_head *head));
void __wrap_urcu_memb_barrier(void);

struct event;
struct event_base;
struct timeval;
struct event_base *__wrap_event_base_new(void);
void __wrap_event_base_free(struct event_base *base);
int __wrap_event_base_dispatch(struct event_base *base);
int __wrap_event_base_loopbreak(struct event_base *base);
struct event *__wrap_event_new(struct event_base *base, int fd, short what,
                               void (*call)(int fd, short what, void *arg), void *arg);
void __wrap_event_free(struct event *event);
int __wrap_event_add(struct event *event, const struct timeval *timeout);
int __wrap_event_del(struct event *event);

/* Of the product. */
struct sona_sidecar_pulse;
struct sona_sidecar_pulse *__real_sona_sidecar_pulse_begin(const char *loop);
struct sona_sidecar_pulse *__wrap_sona_sidecar_pulse_begin(const char *loop);
void __real_sona_sidecar_pulse_end(struct sona_sidecar_pulse *pulse);
void __wrap_sona_sidecar_pulse_end(struct sona_sidecar_pulse *pulse);
int __real_sona_sidecar_guard_add(void *map, size_t bytes);
int __wrap_sona_sidecar_guard_add(void *map, size_t bytes);
void __real_sona_sidecar_guard_remove(int guard);
void __wrap_sona_sidecar_guard_remove(int guard);
struct sona_sidecar_options;
void __wrap_sona_sidecar_startup_log(const struct sona_sidecar_options *options);
void __wrap_sona_sidecar_log(enum sona_sidecar_level level, const char *name, const char *format,
                             ...);
void __wrap_sona_shm_fault(enum sona_fault point);
void __wrap_sona_shm_trace(uint32_t tag, uint32_t lane, uint64_t first, uint32_t n, uint32_t what);
int __wrap_sona_store_tidy(struct sona_store *store, bool *ret_more);
void __real_sona_shm_publisher_destroy(struct sona_shm_publisher **publisher, bool unlink_name);
void __wrap_sona_shm_publisher_destroy(struct sona_shm_publisher **publisher, bool unlink_name);
sona_err __real_sona_shm_publisher_create(struct sona_shm_publisher **ret,
                                          const struct sona_shm_segment_options *options,
                                          sona_diag *reterr);
sona_err __wrap_sona_shm_publisher_create(struct sona_shm_publisher **ret,
                                          const struct sona_shm_segment_options *options,
                                          sona_diag *reterr);
sona_err __real_sona_sidecar_clients_attach(struct sona_sidecar_clients *clients,
                                            const struct sona_sidecar_peer *peer,
                                            const struct sona_wire_hello *hello, int old_fd,
                                            struct sona_sidecar_attachment **ret, int *ret_fd,
                                            sona_diag *reterr);
sona_err __wrap_sona_sidecar_clients_attach(struct sona_sidecar_clients *clients,
                                            const struct sona_sidecar_peer *peer,
                                            const struct sona_wire_hello *hello, int old_fd,
                                            struct sona_sidecar_attachment **ret, int *ret_fd,
                                            sona_diag *reterr);
void __real_sona_sidecar_clients_free(struct sona_sidecar_clients *clients,
                                      struct sona_sidecar_attachment *attachment, bool reclaimed);
void __wrap_sona_sidecar_clients_free(struct sona_sidecar_clients *clients,
                                      struct sona_sidecar_attachment *attachment, bool reclaimed);
sona_err __real_sona_sidecar_core_learn(struct sona_sidecar_core *core,
                                        struct sona_sidecar_joined *joined);
sona_err __wrap_sona_sidecar_core_learn(struct sona_sidecar_core *core,
                                        struct sona_sidecar_joined *joined);
sona_err __real_sona_sidecar_ledger_open(struct sona_sidecar_ledger **ret, const char *path,
                                         sona_diag *reterr);
sona_err __wrap_sona_sidecar_ledger_open(struct sona_sidecar_ledger **ret, const char *path,
                                         sona_diag *reterr);
bool __real_sona_sidecar_recall_take(struct sona_sidecar_recall *recall,
                                     const struct sona_sidecar_taken *taken,
                                     struct sona_sidecar_joined *ret);
bool __wrap_sona_sidecar_recall_take(struct sona_sidecar_recall *recall,
                                     const struct sona_sidecar_taken *taken,
                                     struct sona_sidecar_joined *ret);
sona_err __real_sona_sidecar_recall_replay(struct sona_sidecar_recall *recall,
                                           const struct sona_sidecar_recall_hand *hand,
                                           sona_diag *reterr);
sona_err __wrap_sona_sidecar_recall_replay(struct sona_sidecar_recall *recall,
                                           const struct sona_sidecar_recall_hand *hand,
                                           sona_diag *reterr);
struct sona_sidecar_learner;
uint64_t __real_sona_sidecar_learner_events(const struct sona_sidecar_learner *learner);
uint64_t __wrap_sona_sidecar_learner_events(const struct sona_sidecar_learner *learner);
const struct sona_sidecar_entry *
__real_sona_sidecar_arena_next(const struct sona_sidecar_arena *arena,
                               const struct sona_sidecar_entry *entry);
const struct sona_sidecar_entry *
__wrap_sona_sidecar_arena_next(const struct sona_sidecar_arena *arena,
                               const struct sona_sidecar_entry *entry);
sona_err __real_sona_store_generation_save(struct sona_store *store, uint64_t position,
                                           const void *bytes, size_t n, bool pinned,
                                           uint64_t *ret_number, sona_diag *reterr);
sona_err __wrap_sona_store_generation_save(struct sona_store *store, uint64_t position,
                                           const void *bytes, size_t n, bool pinned,
                                           uint64_t *ret_number, sona_diag *reterr);
bool __real_sona_sidecar_chronicle_cycle(struct sona_sidecar_chronicle *c,
                                         enum sona_store_kind kind, uint64_t now_ms);
bool __wrap_sona_sidecar_chronicle_cycle(struct sona_sidecar_chronicle *c,
                                         enum sona_store_kind kind, uint64_t now_ms);
sona_err __real_sona_store_append(struct sona_store *store, const struct sona_store_record *records,
                                  uint32_t n, uint64_t *ret_position);
sona_err __wrap_sona_store_append(struct sona_store *store, const struct sona_store_record *records,
                                  uint32_t n, uint64_t *ret_position);
/* NOLINTEND */

#endif
