// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package sanity only pins the conformance suite, so that go.sum covers all that it is built from.
package sanity

import (
	_ "github.com/container-storage-interface/spec/lib/go/csi"
	_ "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity"
)
