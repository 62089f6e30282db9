"""Who sees whether an endpoint could go back, and who has it looked at now?"""

import pytest

from lockgate.formats.digest import Digest
from tests.server.served import API
from tests.world import PROD

PATH = f"endpoints/{PROD}/preservation"


@pytest.fixture
def live(served):
    served.world.serve("1.0.0")
    served.world.serve("1.1.0")
    return served


def ask(live, who):
    return live.send(who, "POST", f"{API}/{PATH}", b"{}")


def test_what_is_known_of_the_way_back_is_shown_and_looked_at_when_somebody_asks(live):
    found = live.get("bob", PATH).json()
    assert (found["target"]["tag"], found["wrong"], found["look"]) == ("magika@1.0.0", None, None)

    targets = live.app._app.inner.state.desk.targets
    targets.look()
    assert live.get("bob", PATH).json()["look"]["finding"] == "whole"
    del live.world.blobs.blobs[Digest.of(b"weights 1.0.0")]
    targets.look()
    assert live.get("bob", PATH).json()["wrong"] is None, "once a day is enough, unless somebody asks"

    assert ask(live, "ann").status_code == 200
    targets.look()
    found = live.get("bob", PATH).json()
    assert found["wrong"]["finding"] == "damaged" and "weights/model.onnx" in found["flags"][0]
    metrics = live.get("bob", "/metrics").text
    assert "lockgate_rollback_targets_damaged 1" in metrics and "lockgate_rollback_targets_unknown 0" in metrics


@pytest.mark.parametrize("who", ["alice", "bob", "ci", "host-1", "guard"])
def test_who_may_not_ask_has_nothing_read(live, who):
    assert ask(live, who).status_code == 403


def test_an_endpoint_that_has_no_former_release_has_no_way_back(served):
    served.world.serve("1.0.0")
    assert served.get("bob", PATH).json()["target"] is None
