/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Every event that the log can have: its name, which stays what it is, how urgent it is, and what
 * it means to an operator. docs/log.md is made from this table, and tests/sidecar/config/pages
 * holds every call in sidecar/ against it: a name that is not here is logged nowhere.
 */
#ifndef SONA_SIDECAR_EVENTS_H
#define SONA_SIDECAR_EVENTS_H

/* X(name, level, what it means and what to do) */
#define SONA_SIDECAR_EVENTS(X)                                                                     \
    X(ready, "info", "clients can attach")                                                         \
    X(stopping, "info", "a signal asked for the end; what clients committed is drained")           \
    X(drained, "info",                                                                             \
      "a stop drained what was committed: records taken meanwhile, events learned, decisions "     \
      "that "                                                                                      \
      "still wait for their outcome")                                                              \
    X(stopped, "info", "the end; everything is kept that is kept")                                 \
    X(left_out, "warn", "`count` lines of event `of` were not written: there were too many")       \
    X(surroundings_lack, "warn",                                                                   \
      "a start found less than it wants: what is missing, what it costs, what to do; an error "    \
      "where no client could attach")                                                              \
    X(client_attached, "info", "a process has lanes now; `by` is how its death is noticed")        \
    X(client_reclaimed, "info", "it hung up or died; its lanes were drained and are free")         \
    X(refused, "warn", "a connection was refused; the client was told the same sentence")          \
    X(no_room, "warn",                                                                             \
      "too many connections, or no descriptors: who connects waits. Raise "                        \
      "LimitNOFILE, or find who connects")                                                         \
    X(lane_quarantined, "warn", "a client wrote nonsense into its lane, which is drained no more") \
    X(lanes_not_taken_back, "warn",                                                                \
      "after a restart a client came with lanes that cannot go on; it was given new ones")         \
    X(command, "info", "somebody asks for a change with sonactl")                                  \
    X(cycle_installed, "info", "a background cycle is part of the model")                          \
    X(weights_refused, "error",                                                                    \
      "the model is not sound and was not published: a defect; report "                            \
      "it. The last snapshot stays")                                                               \
    X(no_memory, "warn", "figures are old, since there was no memory for new ones")                \
    X(memory_gone, "error",                                                                        \
      "no memory came for what control cannot do without, and the process ended, as by a "         \
      "kill. Raise MemoryMax, or find who takes it")                                               \
    X(segment_adopted, "info", "the last sidecar was killed; clients notice nothing")              \
    X(segment_renewed, "info",                                                                     \
      "a new segment replaces that of a killed sidecar; clients change "                           \
      "over by themselves")                                                                        \
    X(resumed, "info", "what an earlier sidecar learned was taken up from the state directory")    \
    X(state_not_kept, "warn",                                                                      \
      "the default state directory cannot be used: a restart will forget everything. Say "         \
      "state_dir, or give it to the user that sona-sidecar runs as")                               \
    X(journal_waits, "error",                                                                      \
      "the journal takes nothing, so learning waits; clients go on. Look "                         \
      "after the disk")                                                                            \
    X(journal_resumed, "info", "the journal takes records again, and learning goes on")            \
    X(journal_slow, "warn",                                                                        \
      "the disk takes less than is told: a share of the outcomes is learned, the rest "            \
      "counts as drop_thinned")                                                                    \
    X(journal_keeps_up, "info", "all outcomes are learned again; `thinned` were not")              \
    X(journal_failed, "warn", "the database cannot be written now; the intake log holds the rest") \
    X(journal_recovered, "warn", "and it can again")                                               \
    X(sync_failed, "warn", "the disk does not confirm what was written; it is tried again")        \
    X(sync_recovered, "warn", "and it does again")                                                 \
    X(intake_damaged, "warn", "acknowledged records are gone, as after a power failure")           \
    X(intake_foreign, "warn", "the intake log belongs to another journal, and was dropped")        \
    X(generation_kept, "info", "a copy of the whole state is in the state directory")              \
    X(rolled_back, "warn", "somebody asked for it: the state is that of an older generation")      \
    X(generation_failed, "error", "that copy could not be written; the journal has everything")    \
    X(generation_damaged, "error", "a copy is damaged; an older one and the journal replace it")   \
    X(arena_begun_anew, "warn",                                                                    \
      "decisions that waited for an outcome are gone: the file is of "                             \
      "another version or configuration")                                                          \
    X(arena_recalled, "info", "decisions that waited when the last sidecar ended wait again")      \
    X(arena_not_recalled, "error", "they could not be read, and are gone")                         \
    X(arena_given_up, "error", "a defect; what waits for an outcome ends with this process")       \
    X(config_mistake, "error", "a mistake in the configuration that SIGHUP read; one line each")   \
    X(config_refused, "error", "SIGHUP changed nothing")                                           \
    X(config_changed, "info", "a value that was taken over")                                       \
    X(config_restart, "warn", "a value that only a restart takes over")                            \
    X(route_cost, "info", "a start took over the cost that the configuration says")                \
    X(route_differs, "warn",                                                                       \
      "a start found a route that the configuration tells otherwise, or not at all; what is "      \
      "running stays")                                                                             \
    X(config_route, "error", "a route of the new configuration could not be added")                \
    X(config_reloaded, "info", "SIGHUP is done: how much changed, how much waits for a restart")   \
    X(variable_unknown, "warn", "a variable SONA_... is nearly, but not, the name of an option")   \
    X(watchdog_held, "error",                                                                      \
      "a loop does not go round, so the service manager is not told that all is well and will "    \
      "restart the sidecar; the thread is named")                                                  \
    X(watchdog_fed, "warn", "it goes round again")                                                 \
    X(manager_deaf, "warn",                                                                        \
      "the service manager's socket takes nothing; it may think that the sidecar does not start")  \
    X(instance_failed, "error",                                                                    \
      "one of several instances could not start, or ended; the others serve. Mend what the "       \
      "reason "                                                                                    \
      "says, and send SIGHUP: it is started again")                                                \
    X(http_no_room, "warn",                                                                        \
      "too many connections to a control socket or the port: who connects waits")                  \
    X(http_refused, "warn", "a request of another user; it was told so")                           \
    X(config_instance_added, "info", "SIGHUP found an instance that does not run, and starts it")  \
    X(config_instance_removed, "info", "no file names it any more; it stops, and its state stays") \
    X(confined, "info", "the process gave up what it never needs, by seccomp and landlock")        \
    X(confined_less, "warn", "it could not give up all of that; the reason says what is missing")  \
    X(client_held_back, "warn",                                                                    \
      "one of many clients says more than its share (influence_cap): its records wait in its "     \
      "rings, which fill. Look what it does; status counts it")

#endif
