"""Do shards make one run only if each of them is there exactly once, and nothing is counted twice?"""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.measure import MOST, Measure
from lockgate.core.shard import MOST_SHARDS, SHARD, Run, Shard, merged, open_shard, sign_shard
from lockgate.errors import VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Tag, Version
from tests.world import NOW, key

HOUR = timedelta(hours=1)
OTHER = Digest.of(b"other")
TAG, VERSION = Tag.parse("magika@1.0.0"), Version.parse("1.2.0")
RUN = Run(17, "prod.example/changes", TAG, Digest.of(b"release"), "answers", VERSION, Digest.of(b"suite"), OTHER)
LAYERS = ("namespaces", "seccomp", "limits")


def names(number, of=10):
    return tuple(f"{number}-{n}" for n in range(of))


def shard(number, of=2, measures=None, **changes):
    counts = measures or {"recall": Measure(number, 10)}
    samples = {name: names(number, min(count.of or 0, 10)) for name, count in counts.items()}
    found = Shard(
        RUN, number, of, "inspect", "0.3.285", NOW, NOW + HOUR, counts,
        samples, LAYERS, served=True, trouble=(),
        records={"log.json": Digest.of(str(number).encode())},
    )  # fmt: skip
    return replace(found, **changes)


def test_shards_are_one_run_together():
    late = shard(2, started_at=NOW + HOUR, finished_at=NOW + 2 * HOUR, isolation=("namespaces", "limits"))
    found = merged([late, shard(1)], RUN)

    assert found.measures == {"recall": Measure(3, 20)}
    assert (found.started_at, found.finished_at) == (NOW, NOW + 2 * HOUR)
    assert (found.isolation, found.served, found.trouble) == (("namespaces", "limits"), True, ())
    assert found.records == {"shard-1/log.json": Digest.of(b"1"), "shard-2/log.json": Digest.of(b"2")}
    assert found.samples == {"recall": names(1) + names(2)}
    assert (found.number, found.of, found.run) == (1, 1, RUN)


def test_what_is_true_of_one_shard_only_is_not_true_of_the_run():
    assert not merged([shard(1), shard(2, served=False)], RUN).served
    assert merged([shard(1), shard(2, isolation=None)], RUN).isolation is None
    assert merged([shard(1), shard(2, isolation=("landlock",))], RUN).isolation is None


def test_the_trouble_of_one_shard_is_that_of_the_run():
    failed = shard(2, measures={}, trouble=("the harness ended with 1",), samples={}, harness_version="unknown")
    failed = replace(failed, measures={}, samples={})

    found = merged([shard(1), failed], RUN)
    assert found.trouble == ("shard 2: the harness ended with 1",)
    assert found.measures == {"recall": Measure(1, 10)}
    nothing = replace(failed, number=1)
    assert merged([nothing, failed], RUN).measures == {}


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_shards_says_nothing(counts, random):
    shards = [shard(n, len(counts), {"recall": Measure(count - 1, count)}) for n, count in enumerate(counts, 1)]
    whole = merged(shards, RUN)
    random.shuffle(shards)

    assert whole.measures == {"recall": Measure(sum(counts) - len(counts), sum(counts))}
    assert merged(shards, RUN) == whole


def of(**changes):
    return shard(2, run=replace(RUN, **changes))


def counting(number, *samples):
    return shard(number, measures={"recall": Measure(1, len(samples))}, samples={"recall": samples})


@pytest.mark.parametrize(
    ("shards", "reason"),
    [
        ([shard(1)], "shard 2 of 2 is missing"),
        ([shard(2)], "shard 1 of 2 is missing"),
        ([shard(1), shard(1)], "shard 1 is there twice"),
        ([shard(1), shard(2), shard(2)], "shard 2 is there twice"),
        ([shard(1), shard(2, 3)], r"runs in \[2, 3\] parts, not of one run"),
        ([shard(1, 3), shard(3, 3)], "shard 2 of 3 is missing"),
        ([shard(1), of(trial=18)], "shard 2 is of another trial: '18', not 17"),
        ([shard(1), of(log="dev.example/changes")], "shard 2 is of another log"),
        ([shard(1), of(tag=Tag.parse("magika@1.0.1"))], "shard 2 is of another tag"),
        ([shard(1), of(release=OTHER)], "shard 2 is of another release"),
        ([shard(1), of(suite="agentic")], "shard 2 is of another suite: 'agentic', not answers"),
        ([shard(1), of(suite_version=Version.parse("1.2.1"))], "shard 2 is of another suite version"),
        ([shard(1), of(suite_digest=OTHER)], "shard 2 is of another suite digest"),
        ([shard(1), of(policy=Digest.of(b"x"))], "shard 2 is of another policy"),
        ([replace(shard(1), run=of(trial=18).run), of(trial=18)], "shard 1 is of another trial"),
        ([shard(1), shard(2, harness="garak")], "shard 2 was run by 'garak 0.3.285', shard 1 by inspect 0.3.285"),
        ([shard(1), shard(2, harness_version="0.3.286")], "shard 2 was run by 'inspect 0.3.286'"),
        ([counting(1, "a", "b"), counting(2, "b", "c")], "sample 'b' of 'recall' is in shard 1 and in shard 2"),
        ([counting(1, "a", "a"), counting(2, "b")], "shard 1 does not name each sample that it counted, once"),
        ([shard(1, samples={}), shard(2)], "shard 1 does not name each sample"),
        ([shard(1, samples={"recall": names(1, 9)}), shard(2)], "shard 1 does not name each sample"),
        ([shard(1), shard(2, samples={"recall": names(2), "more": ("x",)})], "shard 2 does not name each sample"),
        ([shard(1), shard(2, measures={"precision": Measure(1, 1)})], "have not measured the same"),
        ([shard(1), shard(2, measures={"recall": Measure(1, 1), "more": Measure(1, 1)})], "have not measured the same"),
        ([shard(1), shard(2, measures={"recall": Measure(value="1")})], "is a value: parts of it cannot be merged"),
        ([shard(1), shard(2, measures={"recall": Measure(0, 0)})], "counts 0 of 0"),
        ([shard(1), shard(2, measures={"recall": Measure(2, 1)})], "counts 2 of 1"),
        ([counting(1, "a"), shard(2, measures={"recall": Measure(0, 1)}, samples={})], "shard 2 does not name each"),
    ],
)
def test_shards_that_are_not_each_once_of_one_run_are_refused_by_name(shards, reason):
    with pytest.raises(VerificationError, match=reason):
        merged(shards, RUN)


def test_counts_that_are_too_many_together_are_refused():
    many = [shard(n, measures={"recall": Measure(0, MOST)}, samples={"recall": names(n, 1)}) for n in (1, 2)]

    with pytest.raises(VerificationError, match=f"counts 0 of {2 * MOST}"):
        merged(many, RUN)


def test_a_shard_is_signed_by_who_ran_it():
    document = sign_shard(shard(1), key("results"))

    assert open_shard(document, [key("other").public, key("results").public]) == shard(1)
    for keys in ([], [key("other").public]):
        with pytest.raises(VerificationError, match="no key that is trusted"):
            open_shard(document, keys)


def resigned(found, kind=SHARD):
    return dsse.sign(found if isinstance(found, bytes) else plain.encode(found), kind, [key("results")]).encode()


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (sign_shard(shard(1), key("results"))[:-1], "not JSON"),
        (sign_shard(shard(1), key("results")).replace(b'"sig":"', b'"sig":"AAAA'), "no key that is trusted"),
        (resigned(shard(1), dsse.IN_TOTO), "DSSE payload is"),
        (resigned(b"{}"), "wanted type trial-shard"),
        (resigned(shard(3)), "shard 3 of 2 is none of"),
        (resigned(shard(0)), "shard 0 of 2 is none of"),
        (resigned(shard(1, MOST_SHARDS + 1)), f"is none of 1 to {MOST_SHARDS}"),
        (resigned(shard(1, started_at=NOW + 2 * HOUR)), "finished before it started"),
    ],
)
def test_what_is_no_signed_shard_is_refused(document, reason):
    with pytest.raises(VerificationError, match=reason):
        open_shard(document, [key("results").public])
