"""Profiles from the JSON output of fio."""

import copy
import json

import pytest

import tmemstore
from tmemstore.storage.fio import from_fio
from tmemstore.storage.profile import StorageProfile

PERCENTILES = {"50.000000": 1.0, "90.000000": 1.2, "99.000000": 2.0, "99.900000": 10.0, "99.990000": 30.0}
IDLE = {"io_bytes": 0, "bw_bytes": 0, "iops": 0.0, "clat_ns": {"min": 0, "max": 0, "mean": 0.0}}


def section(block_bytes, iops, depth=1):
    mean_ns = 10**9 * depth / iops
    return {
        "bw_bytes": round(block_bytes * iops),
        "iops": iops,
        "clat_ns": {
            "mean": mean_ns,
            "max": round(40 * mean_ns),
            "percentile": {name: round(factor * mean_ns) for name, factor in PERCENTILES.items()},
        },
    }


def job(way, block_bytes, iops, **options):
    direction = "write" if "write" in way else "read"
    return {
        "jobname": options.pop("jobname", f"{way} {block_bytes}"),
        "groupid": options.pop("groupid", 0),
        "error": 0,
        "job options": {"rw": way, "bs": f"{block_bytes >> 10}k", "iodepth": str(options.get("depth", 1))},
        **{name: copy.deepcopy(IDLE) for name in ("read", "write", "trim")},
        direction: section(block_bytes, iops, **options),
        "sync": {"total_ios": 0, "lat_ns": {"min": 0, "max": 0, "mean": 0.0}},
    }


def output(*jobs):
    return {"fio version": "fio-3.36", "timestamp": 1, "global options": {"direct": "1"}, "jobs": list(jobs)}


WHOLE = output(
    job("write", 512 << 10, 80),  # 40 MiB/s
    job("randwrite", 4 << 10, 500),
    job("read", 512 << 10, 160),
    job("randread", 4 << 10, 2000, depth=4),
)


def test_four_jobs_make_four_lanes(tmp_path):
    path = tmp_path / "fio.json"
    path.write_text(json.dumps(WHOLE), encoding="utf-8")
    profile = StorageProfile.load(path)
    assert profile.source == "measured"
    assert (profile.name, profile.device, profile.cpu, profile.sync_ns) == ("fio-3.36", None, None, None)
    assert profile.write.bytes_per_s == pytest.approx(40 << 20, rel=1e-3)
    assert profile.read.bytes_per_s == pytest.approx(80 << 20, rel=1e-3)
    assert profile.random_write.iops == 500
    assert profile.random_read.iops == pytest.approx(2000, rel=1e-3)
    assert profile.random_write.byte_ps == profile.write.byte_ps, "its bytes take the sequential rate"
    assert any("does not name the file system" in note for note in profile.notes)
    assert StorageProfile.from_document(profile.to_document()) == profile


def test_percentiles_become_the_sample():
    lane = from_fio(WHOLE).random_read
    found = [lane.quantile_permille(q) for q in (0.5, 0.9, 0.99, 0.999, 1)]
    assert found == pytest.approx([1000, 1200, 2000, 10_000, 40_000], rel=2e-2)


def test_several_block_sizes_are_fitted():
    times = {size << 10: 100_000 + (size << 10) * 20 for size in (4, 64, 512)}
    profile = from_fio(output(*(job("write", size, 10**9 / time_ns) for size, time_ns in times.items())))
    assert profile.write.request_ns == pytest.approx(100_000, rel=0.01)
    assert profile.write.byte_ps == pytest.approx(20_000, rel=0.01)


def test_processes_of_one_job_add_up():
    one = job("write", 512 << 10, 20)
    assert from_fio(output(one, one, one, one)).write.bytes_per_s == pytest.approx(40 << 20, rel=1e-3)


def test_one_writing_job_is_enough_and_the_rest_is_said():
    profile = from_fio(output(job("randwrite", 4 << 10, 500)))
    assert profile.write == profile.read == profile.random_read == profile.random_write
    said = " ".join(profile.notes)
    for lane in ("writes", "reads", "random reads"):
        assert f"no job of {lane}: they are taken to be like" in said


def test_a_job_of_both_directions_gives_both():
    mixed = job("randrw", 4 << 10, 500) | {"write": section(4096, 700), "read": section(4096, 900)}
    profile = from_fio(output(mixed))
    assert (profile.random_write.iops, profile.random_read.iops) == (700, 900)


def test_options_may_be_global_and_the_block_size_left_out():
    document = output(job("randwrite", 4 << 10, 500))
    document["global options"]["rw"] = document["jobs"][0].pop("job options")["rw"]
    assert from_fio(document).random_write.iops == 500
    del document["global options"]
    assert from_fio(document).write.iops == 500, "without a way it is sequential, as fio's default is"


@pytest.mark.parametrize("written", ["4096", "4k", "4KiB", "4kb", "4k-64k", "4k,8k"])
def test_block_sizes_as_fio_takes_them(written):
    document = output(job("write", 4 << 10, 500))
    document["jobs"][0]["job options"]["bs"] = written
    assert from_fio(document).write.iops == 500


def test_without_percentiles_all_requests_are_alike():
    document = output(job("write", 512 << 10, 80))
    del document["jobs"][0]["write"]["clat_ns"]
    profile = from_fio(document)
    assert profile.write.spread_permille == (1000,)
    assert any("no percentiles of writes" in note for note in profile.notes)


def test_syncs_are_taken_where_a_job_synced():
    syncing = job("write", 4 << 10, 100)
    percentile = {"50.000000": 2_000_000, "99.000000": 9_000_000}
    syncing["sync"] = {"total_ios": 100, "lat_ns": {"mean": 2_100_000.0, "percentile": percentile}}
    assert from_fio(output(syncing)).sync_ns == (2_000_000, 9_000_000)


def broken(*place, value=None, drop=False):
    document = copy.deepcopy(WHOLE)
    holder = document
    for key in place[:-1]:
        holder = holder[key]
    if drop:
        del holder[place[-1]]
    else:
        holder[place[-1]] = value
    return document


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (broken("fio version", value=3), "fio version must be a string"),
        (broken("jobs", value={}), "jobs must be a list"),
        (broken("jobs", 1, value="x"), "jobs[1] must be an object"),
        (broken("jobs", 0, "jobname", drop=True), "jobs[0].jobname is missing"),
        (broken("jobs", 0, "error", value=28), "jobs[0].error must be 0"),
        (broken("jobs", 0, "job options", value=[]), "jobs[0].job options must be an object"),
        (broken("jobs", 0, "job options", "rw", value=1), "jobs[0].job options.rw must be a string"),
        (broken("jobs", 0, "write", value=None), "jobs[0].write must be an object"),
        (broken("jobs", 0, "write", "iops", drop=True), "jobs[0].write.iops is missing"),
        (broken("jobs", 0, "write", "bw_bytes", drop=True), "jobs[0].write.bw_bytes is missing"),
        (broken("jobs", 0, "write", "bw_bytes", value=-1), "jobs[0].write.bw_bytes must be a number"),
        (broken("jobs", 0, "write", "iops", value=True), "jobs[0].write.iops must be a number"),
        (broken("jobs", 0, "write", "clat_ns", value=3), "jobs[0].write.clat_ns must be an object"),
        (broken("jobs", 0, "write", "clat_ns", "mean", value="x"), "jobs[0].write.clat_ns.mean must be a number"),
        (
            broken("jobs", 0, "write", "clat_ns", "percentile", value={"high": 1}),
            "jobs[0].write.clat_ns.percentile.high must be named by a number",
        ),
        (
            broken("jobs", 0, "write", "clat_ns", "percentile", "50.000000", value=None),
            "jobs[0].write.clat_ns.percentile.50.000000 must be a number",
        ),
        (output(), "no job writes"),
        (output(job("read", 4096, 100)), "no job writes"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, document, field):
    path = tmp_path / "fio.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(tmemstore.ProfileError) as caught:
        StorageProfile.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert field in str(caught.value)
