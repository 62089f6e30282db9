"""Does a derivative need results of its own, whatever its parent passed?"""

from dataclasses import replace

import pytest

from lockgate.core.derivation import Derivation, How
from lockgate.core.evidence import Verdict, subject_of
from lockgate.core.evidence import test_result as predicate_of
from lockgate.core.release import Manifest, Release
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Tag
from lockgate.formats.statement import TEST_RESULT, Statement
from tests.core.dossiers import FINISHED, built, denied, dossier, good, judged, release, run, statement
from tests.obligations.test_signed_test_results import take
from tests.world import World, key


def parent_and_child(world: World, how: How = How.QUANTISED) -> tuple[Release, Release]:
    parent = world.serve("1.0.0")
    parents = {parent.manifest.tag: parent.digest}
    if how is How.MERGED:
        parents[Tag.parse("other@1.0.0")] = Digest.of(b"elsewhere")
    return parent, world.register("1.1.0", derived_from=Derivation(how, parents))


def opened(world: World, child: Release) -> int:
    number = world.open(child)
    world.approve(number)
    return number


@pytest.mark.parametrize("how", How)
def test_a_derivative_of_what_passed_is_blocked_until_it_has_passed_itself(world: World, how: How) -> None:
    _, child = parent_and_child(world, how)
    number = opened(world, child)

    with pytest.raises(DeniedError, match="suite file-types has no result by a trusted signer for this release"):
        world.activate(number)

    world.attest(child)
    world.activate(number)
    stable = world.endpoint().stable
    assert stable is not None and stable.release == child.digest


def test_a_derivative_that_fails_is_blocked_though_its_parent_passed(world: World) -> None:
    _, child = parent_and_child(world)
    world.attest(child, world.built(), world.ran(Verdict.FAILED))

    with pytest.raises(DeniedError, match="suite file-types FAILED"):
        world.activate(opened(world, child))


def test_a_result_of_the_parent_is_not_taken_into_the_evidence_of_the_derivative(world: World) -> None:
    parent, child = parent_and_child(world)

    with pytest.raises(VerificationError, match=r"the statement is about magika@1\.0\.0"):
        take(world, child, world.statement(parent, world.ran(accuracy="0.98")))


@pytest.mark.parametrize("named", ["the tag of the parent", "the digest of the parent", "both as subjects"])
def test_a_statement_that_is_half_about_the_parent_is_about_nobody(world: World, named: str) -> None:
    parent, child = parent_and_child(world)
    of_parent, of_child = subject_of(parent), subject_of(child)
    subjects = {
        "the tag of the parent": (replace(of_child, name=of_parent.name),),
        "the digest of the parent": (replace(of_child, digest=of_parent.digest),),
        "both as subjects": (of_child, of_parent),
    }[named]
    signed = Statement(subjects, TEST_RESULT, predicate_of(world.ran()))

    with pytest.raises(VerificationError):
        take(world, child, dsse.sign(signed.encode(), dsse.IN_TOTO, [key("results")]).encode())


def test_a_host_that_is_shown_results_of_the_parent_counts_none() -> None:
    other = dossier(version="0.9.0")
    assert judged(good()).release == release()

    mixed = replace(good(), evidence=(statement(release(), built()), *other.evidence))
    reasons = denied("suite file-types has no result by a trusted signer for this release", mixed)
    assert any("the statement is about magika@0.9.0" in reason for reason in reasons)
    assert run().finished_at == FINISHED


def test_a_parent_that_is_another_release_here_is_refused(world: World) -> None:
    parent = world.register("1.0.0")

    with pytest.raises(DeniedError, match=r"as its parent magika@1\.0\.0, which is sha256:"):
        world.register("1.1.0", derived_from=Derivation(How.PRUNED, {parent.manifest.tag: Digest.of(b"another")}))


def test_a_parent_of_elsewhere_is_allowed_and_derivation_is_in_the_signed_manifest(world: World) -> None:
    derived = Derivation(How.DISTILLED, {Tag.parse("teacher@1.0.0"): Digest.of(b"teacher")})
    child = world.register("1.0.0", derived_from=derived)

    held = world.memory.document(world.record("magika@1.0.0").manifest)
    assert plain.decode(Manifest, dsse.parse(held).payload).derived_from == derived
    assert world.record("magika@1.0.0").release == child.digest
