// SPDX-License-Identifier: Apache-2.0
// Records what a writer does to one descriptor (linked with --wrap: pwrite, fsync, fdatasync), and
// puts it down as a dm-log-writes log, so that tests/lab/logreplay.py enumerates its crash states.
#pragma once

#include <stdbool.h>

/** recorder_start - from here on, writes and flushes of @fd are kept. */
void recorder_start(int fd);
void recorder_stop(void);

/**
 * recorder_plant - make the recorded order wrong: "drop:N" leaves the Nth flush out, "late:N" moves
 * the Nth epoch behind all others, "early:N" before them (counted from 1). Exits on a plant that
 * isn't there.
 */
void recorder_plant(const char *plant);

/** recorder_save - as a dm-log-writes log. Exits on errors. */
void recorder_save(const char *path);
/** recorder_flushes - how many flushes were recorded. */
unsigned int recorder_flushes(void);
