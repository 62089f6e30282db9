"""Where does a heavy suite run? In a pod of a cluster, which probes its own walls before anything foreign runs in it.

KubernetesJob.run ── NetworkPolicy, Job ──▶ API server
    init container `walls`    ours: fails unless it finds the walls that were ordered, and the network shut
    init container `job`      foreign
    container      `report`   ours: what the job left, in its log, and the digest of that in its last word
"""

from lockgate.drivers.kubernetes_job.conduct import KubernetesJob
from lockgate.drivers.kubernetes_job.pod_form import Grounds

__all__ = ["Grounds", "KubernetesJob"]
