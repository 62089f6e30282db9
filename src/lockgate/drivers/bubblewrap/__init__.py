"""Where does foreign code run on one machine? In namespaces that bubblewrap makes, behind Landlock and seccomp.

    outer ── bwrap ── inner, pid 1 of its own world ── the job, and whatever that forks
      │                 └ ends: the kernel kills the whole pid namespace
      └ judges, counts, reads /out when all is dead: nothing inside can write what it says

`outer.Bubblewrap` is the driver. This package imports nothing: bubblewrap shows it to `inner`, which has the standard
library and no time to lose.
"""
