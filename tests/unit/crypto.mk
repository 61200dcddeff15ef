# SPDX-License-Identifier: Apache-2.0
# Which backend takes a job is decided, and seen, by the test.
UNIT_WRAP_test_crypto_cipher := -Wl,--wrap=crypto_aesni_has -Wl,--wrap=crypto_evp_run
# The oracle, whatever the library is built with.
UNIT_WRAP_test_crypto_argon2_oracle := -Wl,--push-state,--no-as-needed -largon2 -Wl,--pop-state
# How many processors there are is the test's.
$(foreach t,admission admission_host processors,$(eval UNIT_WRAP_test_crypto_$(t) := -Wl,--wrap=crypto_cpus))
