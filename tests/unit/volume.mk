# SPDX-License-Identifier: Apache-2.0
# The rooms below volume are answered by tests/unit/volume_rooms.h.
VOLUME_FAKED := io_pread_full block_open block_close block_drop_exclusive block_refresh_size block_count_holders block_path_of \
	block_known_blank block_check_idle block_find_crypt fs_probe fs_wipe_signatures \
	dm_control_open dm_control_close dm_control_closep dm_crypt_supports dm_create dm_reload dm_remove \
	dm_remove_cancel dm_query_info dm_query_instance dm_query_table dm_query_deps \
	keyring_put keyring_put_kept keyring_find_kept keyring_check_kept keyring_drop keyring_revoke_kept keyring_available \
	luks_load luks_free luks_repair luks_unlock_keyslot luks_verify_key luks_format luks_add_keyslot \
	luks_change_keyslot luks_kill_keyslot luks_kill_other luks_erase_keyslots luks_set_flags luks_set_labels luks_set_uuid \
	luks_set_priority
$(foreach t,open live format keyslots table,$(eval \
	UNIT_WRAP_test_volume_$(t) := $(foreach f,$(VOLUME_FAKED),-Wl,--wrap=$(f))))
