# SPDX-License-Identifier: Apache-2.0
"""What a pod may ask of its mount: the group of its files (volume_mount_group, a pod's fsGroup)."""
import os
import stat
import sys

from lab import MIB, SCRATCH, Driver, Mode, case, expect, mount_cap, pb, run, run_on

GROUP = 2000


def cap_of(group, fs="ext4", mode=Mode.SINGLE_NODE_MULTI_WRITER):
    return pb.VolumeCapability(mount=pb.VolumeCapability.MountVolume(fs_type=fs, volume_mount_group=str(group)),
                               access_mode=pb.VolumeCapability.AccessMode(mode=mode))


def owner(path):
    st = os.lstat(path)
    return st.st_uid, st.st_gid, oct(stat.S_IMODE(st.st_mode))


def as_user(uid, groups, script, check=True):
    return run("setpriv", f"--reuid={uid}", "--regid=3000", f"--groups={groups}", "sh", "-c", script, check=check)


@case("volume_mount_group: offered; a pod of the group reads, writes and makes files that belong to it; another can't")
def group(lab):
    assert pb.NodeServiceCapability.RPC.VOLUME_MOUNT_GROUP in [x.rpc.type for x in lab.c.NodeGetCapabilities().capabilities]
    for fs, size in (("ext4", 64), ("xfs", 320), ("btrfs", 256)):
        v = lab.create(cap=cap_of(GROUP, fs), size=size * MIB)
        os.chmod(SCRATCH, 0o755)
        target = v.up()
        expect(f"{fs}: the root", (0, GROUP, "0o2775"), owner(target))
        as_user(1000, GROUP, f"cd {target} && echo one >file && mkdir folder && echo two >folder/file")
        for path in ("file", "folder", "folder/file"):
            expect(f"{fs}: {path}", (1000, GROUP), owner(f"{target}/{path}")[:2])
        as_user(1001, GROUP, f"cat {target}/file && echo >{target}/of-another")
        assert as_user(1002, 2001, f"echo >{target}/foreign", check=False).returncode, f"{fs}: written without the group"
        v.down()
        v.delete()


@case("volume_mount_group: what is there already changes with it: links, set-ID bits, immutable files, mounts, other names' files")
def existing(lab):
    v = lab.create(cap=mount_cap(mode=Mode.SINGLE_NODE_MULTI_WRITER))
    os.chmod(SCRATCH, 0o755)
    target = v.up()
    outside, folder = f"{SCRATCH}/outside", f"{SCRATCH}/outside.d"
    os.makedirs(folder, exist_ok=True)
    with open(outside, "w", encoding="ascii") as f:
        f.write("x")
    os.chmod(outside, 0o600)
    before = owner(outside), owner(folder)
    modes = {"secret": 0o600, "program": 0o4755, "fixed": 0o600}
    os.makedirs(f"{target}/a/b", 0o700)
    os.mkdir(f"{target}/mounted", 0o700)
    for name, mode in modes.items():
        with open(f"{target}/a/{name}", "w", encoding="ascii") as f:
            f.write(name)
        os.chmod(f"{target}/a/{name}", mode)
    os.symlink(outside, f"{target}/a/link")
    os.symlink(folder, f"{target}/a/folder-link")
    os.mkfifo(f"{target}/a/fifo", 0o600)
    run("chattr", "+i", f"{target}/a/fixed")
    run("mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", f"{v.staging}/mounted")
    lab.on_clear.append(lambda: (run("umount", f"{v.staging}/mounted", check=False), run("chattr", "-i", f"{v.staging}/a/fixed", check=False)))
    v.cap = cap_of(GROUP)
    v.stage()
    s = v.staging
    want = {"": "0o2775", "a": "0o2775", "a/b": "0o2770", "a/secret": "0o660", "a/program": "0o4775", "a/fifo": "0o600"}
    expect("the volume", {k: (0, GROUP, m) for k, m in want.items()}, {k: owner(f"{s}/{k}") for k in want})
    expect("a link itself", GROUP, os.lstat(f"{s}/a/link").st_gid)
    expect("where links point", before, (owner(outside), owner(folder)))
    expect("an immutable file", (0, 0, "0o600"), owner(f"{s}/a/fixed"))
    expect("another mount", (0, 0, "0o700"), owner(f"{s}/mounted"))
    # A root that is right says that all is: nothing is walked through again.
    os.chown(f"{s}/a/secret", 0, 7)
    v.stage()
    expect("after a second stage", 7, os.stat(f"{s}/a/secret").st_gid)
    # The pod of another group, at a target of its own.
    v.publish("second", cap=cap_of(GROUP + 1))
    expect("after a publish", [GROUP + 1] * 2, [os.stat(f"{s}/{k}").st_gid for k in ("", "a/secret")])
    v.publish("third", cap=cap_of(GROUP), readonly=True)
    expect("after a read-only publish", GROUP + 1, os.stat(s).st_gid)
    expect("the set-ID bit", "0o4775", owner(f"{s}/a/program")[2])


@case("volume_mount_group: what is no number is INVALID_ARGUMENT; folders without end are refused; a reader's volume isn't changed")
def refused(lab):
    for bad in ("users", "-1", "4294967295", "4294967296", "0x10", " 5", "5 "):
        message = lab.c.fails("INVALID_ARGUMENT", "CreateVolume", name="bad", volume_capabilities=[cap_of(bad)])
        assert "volume_mount_group" in message, message
    v = lab.create(cap=mount_cap(mode=Mode.SINGLE_NODE_MULTI_WRITER))
    top = v.up()
    here = os.getcwd()
    os.chdir(top)
    for _ in range(120):
        os.mkdir("d")
        os.chdir("d")
    os.chdir(here)
    v.cap = cap_of(GROUP)
    message = v.stage_fails("FAILED_PRECONDITION")
    assert "fsGroup" in message, message
    run("rm", "-r", f"{v.staging}/d")
    v.stage()
    expect("the root then", GROUP, os.stat(v.staging).st_gid)
    v.down()
    v.cap = cap_of(GROUP + 1, mode=Mode.SINGLE_NODE_READER_ONLY)
    v.up()
    expect("a reader's", GROUP, os.stat(v.staging).st_gid)


if __name__ == "__main__":
    sys.exit(run_on(Driver()))
