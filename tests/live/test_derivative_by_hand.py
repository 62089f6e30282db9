"""Does a person see what the parents of a release passed, and that it counts for nothing?"""

from lockgate.core.derivation import Derivation, How
from tests.live.spoken import Spoken


def test_a_derivative_shows_its_parents_evidence_as_what_it_is(tmp_path):
    with Spoken(tmp_path) as spoken:
        world = spoken.world
        parent = world.serve("1.0.0")
        child = world.register("1.1.0", derived_from=Derivation(How.QUANTISED, {parent.manifest.tag: parent.digest}))
        number = world.open(child)

        shown = spoken.type("bob", "release", "show", "magika@1.1.0")[1]
        assert f"quantised from magika@1.0.0 ({parent.digest}): what that passed counts for nothing here" in shown
        assert "of magika@1.0.0, its parent: suite file-types PASSED" in shown
        assert spoken.answer("bob", "evidence", "magika@1.1.0")["items"] == []
        (seen,) = spoken.answer("bob", "evidence", "magika@1.1.0")["parents"]
        assert (seen["tag"], seen["known"], seen["revoked"], len(seen["results"])) == ("magika@1.0.0", True, None, 1)
        because = spoken.answer("bob", "release", "diff", "magika@1.0.0", "magika@1.1.0")["because"]
        assert "derivation changed: it was not derived, and is quantised from magika@1.0.0" in because

        code, said = spoken.type("bob", "change", "assess", number)
        assert code == 3 and "suite file-types has no result" in said
        world.attest(child)
        world.approve(number)
        assert "counts for nothing here" in spoken.type("bob", "change", "assess", number)[1]
        world.revoke("magika@1.0.0")
        assert "its parent release magika@1.0.0 is revoked" in spoken.type("bob", "change", "assess", number)[1]
        assert "magika@1.0.0 is revoked: it leaks" in spoken.type("bob", "release", "show", "magika@1.1.0")[1]
