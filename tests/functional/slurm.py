# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Slurm cluster on this machine: a controller and several slurmd, without munge; with accounting where it is asked for."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import engines

CONF = """\
ClusterName=t
SlurmctldHost=localhost
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
StateSaveLocation={top}/state
SlurmdSpoolDir={top}/spool/%n
SlurmctldPidFile={top}/slurmctld.lock
SlurmdPidFile={top}/slurmd-%n.lock
SlurmctldLogFile={top}/log/slurmctld.log
SlurmdLogFile={top}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,batch_sched_delay=0,sched_min_interval=0,default_queue_depth=500
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
SlurmdTimeout=60
KillWait=5
MinJobAge=300
MaxArraySize={array}
PropagateResourceLimits=NONE
SlurmdParameters=config_overrides
NodeName=n[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}] CPUs={cpus} RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP DefMemPerCPU=10
"""


def free_ports(count):
    """The first of COUNT in a row that nobody has."""
    for first in range(20000 + os.getpid() % 9000, 32000, count):
        taken = []
        try:
            for port in range(first, first + count):
                taken.append(socket.socket())
                taken[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                taken[-1].bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
        finally:
            for one in taken:
                one.close()
    raise AssertionError("no ports")


DBD = """\
AuthType=auth/none
DbdHost=localhost
DbdPort={port}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
LogFile={top}/log/slurmdbd.log
PidFile={top}/slurmdbd.lock
"""
ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={port}
AccountingStorageEnforce=limits,qos
"""


class Cluster:
    def __init__(self, nodes=3, cpus=8, array=1001, accounting=False, more=""):
        self.top = Path(tempfile.mkdtemp(prefix="rollouts-slurm-"))
        self.top.chmod(0o755)
        self.nodes, self.children = nodes, {}
        for name in ("state", "log", *(f"spool/n{i}" for i in range(1, nodes + 1))):
            (self.top / name).mkdir(parents=True)
        port = free_ports(nodes + 2)
        conf = CONF.format(top=self.top, port=port, first=port + 1, last=port + nodes, nodes=nodes, cpus=cpus, array=array,
                           host=socket.gethostname())
        if accounting:
            conf = conf.replace("AccountingStorageType=accounting_storage/none\n", ACCOUNTING.format(port=port + nodes + 1))
        (self.top / "slurm.conf").write_text(conf + more)
        self.env = {"SLURM_CONF": str(self.top / "slurm.conf")}
        if accounting:
            self.start_accounting(port + nodes + 1)
        self.start("slurmctld", "-D")
        for i in range(1, nodes + 1):
            self.start_node(i)
        self.wait_idle()

    def start_accounting(self, port):
        """A database that is spoken to over its socket only, and slurmdbd, with an account for root."""
        self.env["MYSQL_UNIX_PORT"] = str(self.top / "db.sock")
        (self.top / "slurmdbd.conf").write_text(DBD.format(top=self.top, port=port))
        (self.top / "slurmdbd.conf").chmod(0o600)
        subprocess.run(["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={self.top}/db",
                        "--auth-root-authentication-method=normal", "--skip-test-db"], check=True, capture_output=True)
        self.start("mariadbd", "--no-defaults", "--user=root", f"--datadir={self.top}/db", f"--socket={self.top}/db.sock",
                   f"--pid-file={self.top}/db.lock", "--skip-networking", "--innodb-lock-wait-timeout=900",
                   "--innodb-flush-log-at-trx-commit=0")
        self.until(60, "mariadb", "--no-defaults", "-S", f"{self.top}/db.sock", "-e", "select 1")
        self.start("slurmdbd", "-D")
        self.until(60, "sacctmgr", "-n", "list", "cluster")
        for what in ("cluster t", "account a", "user root account=a"):
            self.until(10, "sacctmgr", "-i", "add", *what.split())

    def until(self, timeout, *argv):
        end = time.monotonic() + timeout
        while (done := subprocess.run(argv, env={**os.environ, **self.env}, capture_output=True, text=True)).returncode:
            assert time.monotonic() < end, done.stdout + done.stderr
            time.sleep(0.2)

    def start(self, *argv, key=None):
        key = key or argv[0]
        with open(self.top / f"log/{key}.out", "ab") as log:
            child = subprocess.Popen(argv, env={**os.environ, **self.env}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                     start_new_session=True)
        self.children[key] = child
        engines.LIVING.add(child.pid)

    def start_node(self, i):
        self.start("slurmd", "-D", "-N", f"n{i}", key=f"n{i}")

    def wait_idle(self, timeout=30):
        end = time.monotonic() + timeout
        while self.ask("sinfo", "-h", "-t", "idle", "-o", "%D") != str(self.nodes):
            assert time.monotonic() < end, self.ask("sinfo", "-R")
            time.sleep(0.1)

    def ask(self, *argv):
        done = subprocess.run(argv, env={**os.environ, **self.env}, capture_output=True, text=True)
        return done.stdout.strip()

    def kill(self, key):
        child = self.children.pop(key)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        engines.LIVING.discard(child.pid)

    def stop(self):
        self.ask("scancel", "--user", str(os.geteuid()))
        for _ in range(50):
            if not self.ask("squeue", "-h"):
                break
            time.sleep(0.1)
        for child in self.children.values():
            child.terminate()
        for child in self.children.values():
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            engines.LIVING.discard(child.pid)
        shutil.rmtree(self.top, ignore_errors=True)
