// SPDX-License-Identifier: Apache-2.0
// What lies below the driver's validators, for the fuzz target: records of a few volumes, and no
// work done.
#pragma once

#define FAKE_NODE "node-1"
#define FAKE_MARK ".0f3a9c11"
#define FAKE_ENCRYPTED "pvc-1" FAKE_MARK /* ext4, encrypted; staged at FAKE_STAGING */
#define FAKE_PLAIN "pvc-2" FAKE_MARK	 /* a plain block volume */
#define FAKE_ADOPTED "pvc-3" FAKE_MARK
#define FAKE_SNAPSHOT "snap-1" FAKE_MARK /* of FAKE_ENCRYPTED */
#define FAKE_MEMBER "snap-2" FAKE_MARK	 /* the same, within FAKE_GROUP */
#define FAKE_GROUP "group-1" FAKE_MARK
#define FAKE_STAGING "/staging"

/** Times that something below was asked to change anything: the validators had let it pass. */
extern unsigned long fake_works;
