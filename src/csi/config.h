// SPDX-License-Identifier: Apache-2.0
// The driver's options: a table; each may come from a flag, the environment or the configuration
// file, in that order.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "csi.h"

struct err;

enum csi_mode { CSI_MODE_ALL, CSI_MODE_CONTROLLER, CSI_MODE_NODE };
/* Where the key of a staged volume stays for an expansion without the Secret. */
enum csi_keep_key { CSI_KEEP_KEY_PROCESS, CSI_KEEP_KEY_TABLE, CSI_KEEP_KEY_NONE };

#define CSI_TEXT_MAX 256

struct csi_config {
	char mode_name[CSI_TEXT_MAX], endpoint[CSI_TEXT_MAX], socket_mode[CSI_TEXT_MAX],
		socket_group[CSI_TEXT_MAX];
	char driver_name[CSI_TEXT_MAX], node_id[CSI_TEXT_MAX], backend[CSI_TEXT_MAX],
		state_dir[CSI_TEXT_MAX];
	char kdf_memory[CSI_TEXT_MAX], log_level[CSI_TEXT_MAX], log_format[CSI_TEXT_MAX],
		metrics_address[CSI_TEXT_MAX];
	char overprovision[CSI_TEXT_MAX], topology_key[CSI_TEXT_MAX], workers[CSI_TEXT_MAX],
		grace[CSI_TEXT_MAX];
	char max_volumes[CSI_TEXT_MAX], backup_dir[CSI_TEXT_MAX], keep_key_name[CSI_TEXT_MAX];
	char store_id_file[CSI_TEXT_MAX], require_mountpoint_name[CSI_TEXT_MAX];
	/* parsed from the above */
	enum csi_mode mode;
	enum csi_keep_key keep_key;
	unsigned int socket_mode_bits, n_workers, grace_seconds;
	int socket_gid;
	uint64_t kdf_memory_bytes; /* 0 = policy */
	uint64_t overprovision_percent;
	int64_t max_volumes_per_node;
	enum csi_log_level level;
	bool log_json, require_mountpoint;
};

enum csi_config_outcome { CSI_CONFIG_RUN, CSI_CONFIG_HELP, CSI_CONFIG_VERSION };
/** csi_config_read - defaults, then file, then environment, then flags. -EINVAL names the option
 * and where it came from. */
int csi_config_read(int argc, char **argv, struct csi_config *ret,
		    enum csi_config_outcome *ret_outcome, struct err *e);
/** csi_config_help - the option table as text on @fd. */
void csi_config_help(int fd);
