# SPDX-License-Identifier: GPL-3.0-or-later
"""What users of other programs that submit to Slurm have met: programs of Slurm that answer late, short, in other words, or not at all."""
import signal

import pytest

from conftest import only, put, wait_for
from launching import events
from test_slurm import bench, cluster, env, only_folder, slow_agent, working  # noqa: F401

pytestmark = pytest.mark.local("a container does not travel")


@pytest.fixture
def instead(workdir, env):  # noqa: F811
    """instead(NAME, script): a program of Slurm's as the launcher finds it; $real is the true one. The environment for run_cli."""
    def make(name, script):
        put(workdir / "bin" / name, f'#!/bin/sh\nreal=/usr/bin/{name}\nhere="{workdir}"\n{script}\n')
        (workdir / "bin" / name).chmod(0o755)
        return {**env, "PATH": f"{workdir}/bin:/usr/bin:/bin:/usr/sbin"}

    return make


@pytest.mark.long
def test_a_list_that_is_short(run_cli, instead, bench, rollout, workdir):  # noqa: F811
    """squeue answers, and leaves the job out, again and again: it is not believed to have gone."""
    env = instead("squeue", 'case "$*" in *--user=*) exit 0 ;; esac\nexec "$real" "$@"')  # noqa: F811
    run_cli("run", bench(retries=0, **slow_agent(workdir, 14)), env=env, check=0)
    assert only(rollout("far"))["outcome"] == "completed"


@pytest.mark.long
def test_programs_that_fail_for_a_while(run_cli, instead, bench, rollout, workdir):  # noqa: F811
    """A busy controller: what cannot be asked now says nothing of a job."""
    env = instead("squeue", """n=$(cat "$here/asked" 2>/dev/null || echo 0); echo $((n + 1)) > "$here/asked"
[ $n -ge 6 ] || { echo "slurm_load_jobs error: Socket timed out on send/recv operation" >&2; exit 1; }
exec "$real" "$@" """)
    run_cli("run", bench(retries=0, **slow_agent(workdir, 3)), env=env, check=0)
    assert only(rollout("far"))["outcome"] == "completed"


@pytest.mark.parametrize("say", [
    'echo "*** Scratch is purged on Monday ***"; exec "$real" "$@"',  # a site's own words before the id
    pytest.param('id=$("$real" "$@") && echo "Submitted batch job $id"', marks=pytest.mark.long),  # one that does not know --parsable
    pytest.param('id=$("$real" "$@") && echo "$id;main"', marks=pytest.mark.long),
    '"$real" "$@" > /dev/null; echo "your job was accepted"',  # found by its name
])
def test_words_of_sbatch(run_cli, instead, bench, rollout, workdir, say):  # noqa: F811
    env = instead("sbatch", f'case "$*" in *--test-only*) exec "$real" "$@" ;; esac\necho x >> "$here/calls"\n{say}')  # noqa: F811
    run_cli("run", bench(retries=0), env=env, check=0)
    assert only(rollout("far"))["outcome"] == "completed" and (workdir / "calls").read_text() == "x\n"


@pytest.mark.parametrize("settings, words", [
    ({"node": "/no/such/rollouts-node"}, "/no/such/rollouts-node"),
    pytest.param({"cache": "/no/such/dir/x"}, "/no/such/dir", marks=pytest.mark.long),
    pytest.param({"setup": "echo no module git >&2; exit 3"}, "no module git", marks=pytest.mark.long)])
def test_a_job_that_never_came_to_its_trial(run_cli, env, bench, workdir, settings, words):  # noqa: F811
    """What its shell said is told, and not Slurm's word alone: the log goes with the job."""
    run_cli("run", bench(settings, retries=0), env=env, check=1)
    [end] = events(only_folder(workdir), "finished")
    assert end["outcome"] == "infra_error" and "Slurm says FAILED" in end["reason"] and words in end["reason"], end["reason"]


def test_a_cancel_that_was_not_heard(start_cli, instead, cluster, bench, workdir):  # noqa: F811
    """Is sent again: nothing goes on at the user's expense after Ctrl-C."""
    env = instead("scancel", """[ -e "$here/once" ] && exec "$real" "$@"
touch "$here/once"; echo "scancel: error: Kill job error on job id 1: Unable to contact slurm controller (connect failure)" >&2; exit 1""")
    child = start_cli("run", bench(rollouts=3, parallel=3, **slow_agent(workdir, 60)), env=env)
    wait_for(lambda: working(workdir, 3), timeout=60)
    child.send_signal(signal.SIGINT)
    wait_for(lambda: events(only_folder(workdir), "interrupted"))
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=120)
    wait_for(lambda: not cluster.ask("squeue", "-h"), timeout=30)
    assert (workdir / "once").exists()


def test_what_a_users_shell_says_to_slurm(run_cli, env, bench, rollout):  # noqa: F811
    """For use by hand: an sbatch that waits, a squeue that shows something else."""
    own = {"SBATCH_WAIT": "1", "SQUEUE_PARTITION": "nope", "SQUEUE_FORMAT": "%j", "SQUEUE_STATES": "PENDING", "SBATCH_MEM_PER_CPU": "5",
           "SACCT_FORMAT": "jobid", "SBATCH_ARRAY_INX": "0-99", "SBATCH_EXPORT": "ALL"}
    run_cli("run", bench({"memory_mb": 100}, retries=0, rollouts=2), env={**env, **own}, check=0)
    assert [r["outcome"] for r in rollout("far").runs.values()] == ["completed"] * 2
    done = run_cli("run", bench(), env={**env, "SLURM_CLUSTERS": "other"}, check=2)
    assert 'SLURM_CLUSTERS is set to "other"' in done.stderr


def test_a_partition_that_is_hidden(run_cli, env, cluster, bench, rollout, workdir):  # noqa: F811
    """squeue shows no job of it unless it is asked for all."""
    cluster.ask("scontrol", "update", "partition=main", "hidden=yes")
    try:
        run_cli("run", bench(retries=0, **slow_agent(workdir, 3)), env=env, check=0)
    finally:
        cluster.ask("scontrol", "update", "partition=main", "hidden=no")
    assert only(rollout("far"))["outcome"] == "completed"


def test_a_job_that_leaves_the_list_at_once(run_cli, start_cli, env, cluster, bench, workdir):  # noqa: F811
    """Cancelled by somebody else, and forgotten by Slurm, without accounting: its trial ends with what its node said, and not never."""
    child = start_cli("run", bench(retries=0, **slow_agent(workdir, 60)), env=env)
    wait_for(lambda: working(workdir), timeout=60)
    job = cluster.ask("squeue", "-h", "-o", "%A")
    child.kill()
    child.wait()
    cluster.ask("scancel", "--signal=KILL", "--full", job)
    wait_for(lambda: not cluster.ask("squeue", "-h"), timeout=60)
    put(workdir / "bin/squeue", "#!/bin/sh\n")
    put(workdir / "bin/scontrol", '#!/bin/sh\ncase "$*" in *"show job"*) echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1 ;; esac\n'
        'exec /usr/bin/scontrol "$@"\n')
    for name in ("squeue", "scontrol"):
        (workdir / "bin" / name).chmod(0o755)
    run_cli("resume", "far", env={**env, "PATH": f"{workdir}/bin:/usr/bin:/bin:/usr/sbin"}, timeout=120)
    [end] = events(only_folder(workdir), "finished")
    assert end["outcome"] == "infra_error" and "told to stop, and Slurm does not say why" in end["reason"], end["reason"]
