"""Does a detector tell by a command what a provider shows, and does everybody see what follows?"""

from tests.core.test_provider import OPEN, written
from tests.live.spoken import Spoken
from tests.world import PROD


def test_a_change_of_a_hosted_model_is_told_shown_and_held_against_it(tmp_path):
    with Spoken(tmp_path) as spoken:
        spoken.world.serve(hosted=written(OPEN))
        observe = ("provider", "observe", PROD, "provider-model", "--snapshot")

        assert "nobody wrote down" in spoken.type("dave", "provider", "show", PROD)[1]
        assert spoken.answer("guard", *observe, "fp_1")["known"][0]["changed_at"] is None
        code, said = spoken.type("guard", *observe, "fp_1")
        assert code == 3 and "that is no news" in said
        code, said = spoken.type("guard", *observe, "fp_2")
        assert code == 0 and "snapshot was 'fp_1', and is 'fp_2'; results from before count no more" in said
        (seen,) = spoken.answer("dave", "provider", "show", PROD)["seen"]
        assert seen["shows"]["snapshot"] == "fp_2" and seen["changed_at"]
        assert "fp_2" in spoken.type("dave", "provider", "show", PROD)[1]
        code, said = spoken.type("alice", *observe, "fp_3")
        assert code == 3 and "no right to provider.observe" in said
        assert spoken.type("guard", *observe[:-1])[0] == 2
