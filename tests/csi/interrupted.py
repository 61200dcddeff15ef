# SPDX-License-Identifier: Apache-2.0
"""Calls that were cut short, records that are lost, two calls at one volume: what is left is finished or goes, and nothing is
taken for what it isn't. A record is changed by hand where a kill between two steps would leave it so."""
import os
import sys

from lab import (MIB, Driver, Lab, case, expect, fingerprint, pb, records, run_cases, source_snapshot, source_volume, still_there, used)


# ---- what a call left that was cut short ----

@case("an image whose record is lost: no creation, copy or snapshot of that name takes it over or removes it")
def lost_record(lab):
    v, other = used(lab), used(lab)
    s, t = lab.snapshot(other, "lost"), lab.snapshot(other)
    image = lab.driver.snapshot_image(s.snapshot_id)
    before = fingerprint(v.image), fingerprint(image)
    records(lab, "DELETE FROM volumes WHERE id=?", v.id)
    records(lab, "DELETE FROM snapshots WHERE id=?", s.snapshot_id)
    lab.volumes.remove(v)
    try:
        for more in (*({"capacity_range": pb.CapacityRange(required_bytes=n * MIB)} for n in (64, 96)),
                     *({"volume_content_source": x} for x in (source_snapshot(t.snapshot_id), source_volume(other.id)))):
            message = lab.c.fails("ALREADY_EXISTS", "CreateVolume", name=v.name, volume_capabilities=[v.cap], parameters={"encrypted": "true"}, **more)
            assert "record is lost" in message, message
        message = lab.c.fails("ALREADY_EXISTS", "CreateSnapshot", source_volume_id=other.id, name="lost")
        assert "record is lost" in message, message
        expect("both images", before, (fingerprint(v.image), fingerprint(image)))
    finally:
        os.unlink(v.image)
        os.unlink(image)


@case("copies and snapshots that were cut short: their retry takes what is there now; with the source gone it leaves nothing")
def cut_short(lab):
    v = lab.create()
    name = "cut-short"
    s = lab.snapshot(v, name)
    clone = lab.create(source=source_volume(v.id), secrets=v.secrets)
    records(lab, "UPDATE snapshots SET ready=0 WHERE id=?", s.snapshot_id)
    records(lab, "UPDATE volumes SET state=0 WHERE id=?", clone.id)
    os.unlink(clone.image)
    with open(f"{v.up()}/data", "w", encoding="ascii") as f:
        f.write("data that must survive")
    v.expand(96 * MIB)
    v.down()
    again = lab.snapshot(v, name)
    expect("the snapshot", (s.snapshot_id, True, 96 * MIB), (again.snapshot_id, again.ready_to_use, again.size_bytes))
    lab.volumes.remove(clone)
    clone = lab.create(name=clone.name, size=96 * MIB, source=source_volume(v.id), secrets=v.secrets)
    restored = lab.create(size=96 * MIB, source=source_snapshot(s.snapshot_id), secrets=v.secrets)
    for w in (clone, restored):
        still_there(w)
    # the source goes: a whole image only lacks its last step, half a one goes with its promise of space
    v.delete()
    records(lab, "UPDATE volumes SET state=0 WHERE id=?", clone.id)
    fields = dict(name=clone.name, volume_capabilities=[clone.cap], parameters={"encrypted": "true"},
                  volume_content_source=source_volume(v.id), capacity_range=pb.CapacityRange(required_bytes=96 * MIB))
    expect("the whole one", clone.id, lab.c.CreateVolume(**fields).volume.volume_id)
    still_there(clone)
    os.unlink(clone.image)
    records(lab, "UPDATE volumes SET state=0 WHERE id=?", clone.id)
    lab.c.fails("NOT_FOUND", "CreateVolume", **fields)
    expect("its record", [], records(lab, "SELECT id FROM volumes WHERE id=?", clone.id))
    lab.volumes.remove(clone)
    records(lab, "UPDATE snapshots SET ready=0 WHERE id=?", s.snapshot_id)
    lab.c.fails("NOT_FOUND", "CreateSnapshot", source_volume_id=v.id, name=name)
    expect("the snapshot's record", [], records(lab, "SELECT id FROM snapshots"))
    expect("its image", [], os.listdir(f"{lab.driver.state}/snapshots"))


def main():
    driver = Driver()
    driver.start()
    status = run_cases(lambda: Lab(driver))
    driver.stop()
    return status


if __name__ == "__main__":
    sys.exit(main())
