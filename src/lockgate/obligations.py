"""What must be kept, and is it? The 34 obligations of OWASP AISVS chapter C3, by permanent slug.

AISVS numbers differ between its editions, so a slug never changes and the numbers are attributes of it: `en` is the
English draft of 2025, `ja` the later Japanese draft, `v1` the released AISVS 1.0. An obligation is *kept* when a user
can drive it, an attack on it fails in a test (`tests/obligations/test_<slug>.py`) and the function that keeps it says
`Enforces: <slug>`; it is a *gap* when part of that is there and part is missing; else it is *planned*.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Status(StrEnum):
    """How far an obligation is kept."""

    KEPT = "kept"
    GAP = "gap"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True)
class Obligation:
    """One obligation: its numbers in each edition, what it asks for in our own words, and what is missing."""

    slug: str
    en: str
    ja: str
    v1: str
    asks: str
    status: Status = Status.PLANNED
    missing: str = ""


_KEPT, _GAP = Status.KEPT, Status.GAP

_ALL = (
    Obligation(
        "signed_artifacts", "3.1.1", "3.1.1", "3.1.2",
        "Every component of a release is signed by somebody trusted for its kind; nothing else is accepted.", _KEPT,
    ),
    Obligation(
        "verified_admission", "3.1.2 3.3.3", "3.1.1 3.3.1", "3.1.3",
        "Signatures and bytes are checked before a release becomes active; the failing file is named; a pod of a "
        "cluster starts only as the passport says.", _KEPT,
    ),
    Obligation(
        "verified_loading", "3.1.2", "3.1.1 3.3.1", "3.1.3",
        "The serving host judges for itself and hands over exactly the bytes that it verified.", _GAP,
        "adapters enter a running vLLM by our plugin alone, not yet seen with vLLM itself, others not at all; "
        "in a pod of a cluster the files are verified, but no lease ends the server: its route does",
    ),
    Obligation(
        "provenance_record", "3.1.3", "3.1.3", "3.1.1",
        "Each release has a signed record of who authorised it, its data, tests, signatures and time.", _KEPT,
    ),
    Obligation(
        "semantic_versioning", "3.1.4", "", "",
        "The least bump follows from the difference of two releases; a smaller one is refused.", _KEPT,
    ),
    Obligation("live_inventory", "3.1.5", "3.1.2", "3.1.1", "One query tells who uses what, where, and the drift."),
    Obligation("published_aibom", "", "3.1.2", "6.2.1-3", "Each release has a valid, signed AI bill of materials."),
    Obligation(
        "automated_security_tests", "3.2.1", "3.2.1", "3.2.1", "A versioned harness runs the agreed suites.", _KEPT,
    ),
    Obligation(
        "failed_validation_blocks", "3.2.2", "3.2.3", "",
        "A failed, missing, stale or foreign result blocks the deployment; only a named person can override.", _KEPT,
    ),
    Obligation(
        "signed_test_results", "3.2.3", "3.1.3", "",
        "A result is signed, and bound to what was tested, the harness and the thresholds.", _KEPT,
    ),
    Obligation(
        "emergency_change", "3.2.4", "", "", "An emergency is assessed, approved, guarded and reviewed later.", _KEPT,
    ),
    Obligation(
        "quantization_reevaluation", "", "", "3.2.2", "A compressed derivative needs results of its own.", _KEPT,
    ),
    Obligation(
        "provider_change_reevaluation", "", "", "3.2.3", "A hosted model is pinned; a change is noticed.",
        _KEPT,
    ),
    Obligation(
        "gradual_rollout", "3.3.1", "3.3.2", "3.3.1", "A candidate gets traffic in steps and leaves by itself.", _KEPT,
    ),
    Obligation(
        "complete_rollback", "3.3.2", "3.3.3", "3.3.2",
        "One act restores the whole former state, or nothing, within a window that is measured.", _GAP,
        "in a cluster nobody reports whether the pods of the former release answer, so there it is told to be overdue",
    ),
    Obligation(
        "preserved_rollback_artifacts", "3.3.5", "", "", "Former releases stay, write-once and whole.", _GAP,
        "our program never deletes a file; whoever has the directory of the store can, which is found in a day, "
        "not prevented: no store with an object lock yet",
    ),
    Obligation(
        "isolated_parallel_versions", "", "", "3.3.3",
        "Versions side by side share no runtime state.", _GAP,
        "each has logins of its own at bindings and writes on its host where no other can; only connections are left, "
        "and those that begin and end between two looks, without an agent, or by datagrams are not found",
    ),
    Obligation(
        "emergency_shutdown", "3.3.4", "3.3.4", "9.6.1 9.6.3",
        "One hand cuts an endpoint and all it holds within the set time, whatever is down.", _GAP,
        "bindings are cut and tried by hosts that live; what a model server handed to others is not found",
    ),
    Obligation(
        "audit_record", "3.4.1", "3.2.2", "12.5.3",
        "Every change leaves a record that nobody can alter, drop or reorder unnoticed.", _KEPT,
    ),
    Obligation("audited_audit_access", "3.4.2", "", "", "Reading the log takes a right, and is itself recorded."),
    Obligation("reviewed_prompts", "3.4.3", "3.4.2", "", "Prompts come from commits that their reviewers approved."),
    Obligation(
        "state_reconstruction", "3.4.4", "3.2.2", "",
        "For any instant the whole state is rebuilt from the log, with proofs.", _GAP,
        "traffic weights and sightings are not in the log yet, so they are not rebuilt",
    ),
    Obligation("separated_environments", "3.5.1", "3.4.1", "3.4.1", "Environments share nothing; sharing is noticed."),
    Obligation("isolated_training", "3.5.2", "3.4.3", "3.4.2", "A training run reaches its allow-list, no more."),
    Obligation("training_data_custody", "3.5.3", "3.4.4", "", "Datasets carry a signed chain of custody."),
    Obligation("reviewed_training_inputs", "3.5.4", "3.4.2", "", "Training inputs come from reviewed commits."),
    Obligation("verified_reward_models", "", "", "3.5.1", "Reward models are releases, verified before the run."),
    Obligation(
        "reward_hacking_detection", "", "", "3.5.2", "Reward over-optimisation is detected, and blocks.", _KEPT,
    ),
    Obligation("verified_stage_handoff", "", "", "3.5.3", "Each stage consumes only what the former one signed."),
    Obligation("registered_checkpoints", "", "", "3.5.4", "Checkpoints of a training run are artifacts of their own."),
    Obligation("retirement_notice", "3.6.1", "", "", "Dependents are told, and heard, before a release retires."),
    Obligation("secure_erasure", "3.6.2", "3.5.1", "", "Erasing destroys the keys, is verified, and is certified."),
    Obligation(
        "retirement_revocation", "3.6.3", "3.5.2", "",
        "What retired is denied everywhere, for good.", _GAP,
        "releases and keys can be revoked; retiring them, with notice and erasure, is to come",
    ),
    Obligation("emergency_retirement", "3.6.4", "3.3.4", "", "A critical flaw retires a release everywhere, in time."),
)  # fmt: skip

OBLIGATIONS: Mapping[str, Obligation] = MappingProxyType({obligation.slug: obligation for obligation in _ALL})
