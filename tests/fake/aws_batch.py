# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake AWS Batch whose jobs truly run, as processes of this machine or as RUN says: arrays and their index, attempts, retries and
evaluateOnExit, exit codes, pages, bulk calls, reasons of spot instances, memory and images."""
import contextlib
import fnmatch
import os
import re
import signal
import subprocess
import threading
import time
import uuid
from pathlib import Path

from aws_signatures import Refused

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
STATES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")
SUBMIT = {"jobName", "jobQueue", "jobDefinition", "arrayProperties", "dependsOn", "parameters", "containerOverrides", "retryStrategy",
          "timeout", "shareIdentifier", "schedulingPriorityOverride", "tags", "propagateTags"}
OVERRIDES = {"command", "environment", "resourceRequirements", "instanceType"}


def wrong(text):
    raise Refused(400, "ClientException", text)


def milliseconds():
    return int(time.time() * 1000)


def session(leader):
    """Who is in the session of LEADER, by /proc."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rsplit(")", 1)[1].split()[3]) == leader:
                yield int(path.parent.name)


class Job:
    def __init__(self, request, definition, parent=None, index=None):
        self.id = f"{parent.id}:{index}" if parent else str(uuid.uuid4())
        self.request, self.definition, self.index = request, definition, index
        self.status, self.reason, self.attempts, self.children = "SUBMITTED", None, [], []
        self.process, self.told, self.struck, self.created, self.left = None, None, None, milliseconds(), 0

    def over(self):
        return self.status in ("SUCCEEDED", "FAILED")

    def show(self):
        last = self.attempts[-1]["container"] if self.attempts else {}
        out = {"jobId": self.id, "jobName": self.request["jobName"], "jobQueue": self.request["jobQueue"], "status": self.status,
               "attempts": self.attempts, "createdAt": self.created, "container": dict(last),
               "isCancelled": False, "isTerminated": bool(self.told)}
        if self.reason:
            out["statusReason"] = self.reason
        if self.children:
            out["arrayProperties"] = {"size": len(self.children), "statusSummary": {
                s: sum(c.status == s for c in self.children) for s in STATES}}
        elif self.index is not None:
            out["arrayProperties"] = {"index": self.index}
        return out


class Batch:
    """RUN: what comes before a job's command, a list; None: nothing is run, and all exit with EXIT. RULES: what happens to jobs, the first that
    matches, once: {"index", "attempt": exactly; "do": "spot"|"lost"|"oom"|"pull"|"timeout"; "when": a function that says that it is time}.
    Where nothing is run a rule has "code", "reason" and "why", as they are told. HELD: why jobs wait, which then none of them leaves. BLIND: so many
    lists do not show what was just submitted."""

    def __init__(self, run=None, slots=4, rules=(), exit_code=0, environment=None, secrets=None):
        self.run, self.slots, self.rules, self.exit_code = run, slots, list(rules), exit_code
        self.environment, self.secrets = environment or {}, secrets or {}
        self.jobs, self.queues, self.definitions, self.logs = {}, {"q": "ENABLED"}, {}, {}
        self.lock, self.wake, self.running, self.gone = threading.RLock(), threading.Condition(), 0, False
        self.bulk, self.held, self.blind = True, None, 0
        threading.Thread(target=self.schedule, daemon=True).start()

    # the API

    def handle(self, path, body):
        word = path.removeprefix("/v1/")
        if word in ("canceljobs", "terminatejobs") and not self.bulk:
            raise Refused(404, "NotFoundException", "no such call")
        call = getattr(self, "on_" + word, None)
        if not call:
            raise Refused(404, "NotFoundException", f"no call {path}")
        with self.lock:
            return call(body)

    def on_describejobqueues(self, body):
        asked = body.get("jobQueues") or list(self.queues)
        return {"jobQueues": [{"jobQueueName": q, "state": self.queues[q], "status": "VALID"} for q in asked if q in self.queues]}

    def on_describejobdefinitions(self, body):
        found = [d for d in self.definitions.values() if d["status"] == body.get("status", d["status"])
                 and d["jobDefinitionName"] == body.get("jobDefinitionName", d["jobDefinitionName"])]
        return {"jobDefinitions": found}

    def on_registerjobdefinition(self, body):
        name = body["jobDefinitionName"]
        if not NAME.fullmatch(name) or body.get("type") != "container":
            wrong("a definition that cannot be")
        revision = self.definitions.get(name, {"revision": 0})["revision"] + 1
        self.definitions[name] = {**body, "revision": revision, "status": "ACTIVE"}
        return {"jobDefinitionName": name, "revision": revision}

    def on_submitjob(self, body):
        size = body.get("arrayProperties", {}).get("size")
        timeout = body.get("timeout", {}).get("attemptDurationSeconds", 60)
        if set(body) - SUBMIT or set(body.get("containerOverrides", {})) - OVERRIDES:
            wrong(f"unknown members: {sorted(set(body) - SUBMIT)}")
        if not NAME.fullmatch(body["jobName"]):
            wrong("jobName")
        if size is not None and not 2 <= size <= 10000:
            wrong("Array size must be between 2 and 10000")
        if timeout < 60 or not 1 <= body.get("retryStrategy", {}).get("attempts", 1) <= 10:
            wrong("timeout or attempts")
        if self.queues.get(body["jobQueue"]) != "ENABLED":
            wrong(f"JobQueue {body['jobQueue']} not found")
        definition = self.definitions.get(body["jobDefinition"].split(":")[0])
        if not definition:
            wrong(f"JobDefinition {body['jobDefinition']} not found")
        job = Job(body, definition)
        job.children = [Job(body, definition, job, i) for i in range(size or 0)]
        for one in (job, *job.children):
            self.jobs[one.id] = one
        job.left = len(job.children)
        if job.children:
            job.status = "PENDING"
        self.kick()
        return {"jobArn": f"arn:aws:batch:::job/{job.id}", "jobName": body["jobName"], "jobId": job.id}

    def on_describejobs(self, body):
        if not 1 <= len(body["jobs"]) <= 100:
            wrong("jobs: 1 to 100")
        return {"jobs": [self.jobs[i].show() for i in body["jobs"] if i in self.jobs]}

    def on_listjobs(self, body):
        most = min(body.get("maxResults", 100), 100 if "filters" in body else 1000)
        if "arrayJobId" in body:
            if body["arrayJobId"] not in self.jobs:
                wrong("no such array")
            found = self.jobs[body["arrayJobId"]].children
        else:
            found = [j for j in self.jobs.values() if j.index is None and j.request["jobQueue"] == body["jobQueue"]]
        if body.get("filters") and self.blind > 0:
            self.blind, found = self.blind - 1, []
        for f in body.get("filters", []):
            if f["name"] == "JOB_NAME":
                found = [j for j in found if any(fnmatch.fnmatchcase(j.request["jobName"], v) for v in f["values"])]
        if "filters" not in body:
            found = [j for j in found if j.status == body.get("jobStatus", "RUNNING")]
        at = int(body.get("nextToken", 0))
        out = {"jobSummaryList": [{**j.show(), "attempts": None} for j in found[at:at + most]]}
        if at + most < len(found):
            out["nextToken"] = str(at + most)
        return out

    def on_terminatejob(self, body):
        job = self.jobs.get(body["jobId"])
        if job:
            for one in [job, *job.children]:
                self.terminate(one, body["reason"])
        return {}

    def on_terminatejobs(self, body):
        if not 1 <= len(body["jobs"]) <= 50:
            wrong("jobs: 1 to 50")
        known = [i for i in body["jobs"] if i in self.jobs]
        for one in known:
            self.on_terminatejob({"jobId": one, "reason": body["reason"]})
        return {"successful": known, "errors": [{"job": i, "code": "ClientException", "message": "no such job"}
                                                for i in body["jobs"] if i not in known]}

    def terminate(self, job, reason):
        if job.over():
            return
        job.told = reason
        if job.process:
            self.signal(job, signal.SIGTERM)
            later = threading.Timer(30, self.signal, (job, signal.SIGKILL))
            later.daemon = True
            later.start()
        elif not job.children:
            self.end(job, "FAILED", reason)

    # how jobs run

    def kick(self):
        with self.wake:
            self.wake.notify_all()

    def schedule(self):
        while not self.gone:
            with self.lock:
                waiting = [j for j in self.jobs.values() if j.status == "SUBMITTED" and not j.children]
                for job in waiting if self.held else ():
                    job.status, job.reason = "RUNNABLE", self.held
                waiting = [] if self.held else waiting
                for job in waiting[:self.slots - self.running if self.run else None]:
                    job.status = "STARTING"
                    self.running += 1
                    if self.run:
                        threading.Thread(target=self.work, args=(job,), daemon=True).start()
                    else:
                        self.running -= 1
                        rule = self.rule(job)
                        self.finish(job, rule.get("code", self.exit_code), rule.get("reason"), None, rule.get("why"))
            with self.wake:
                self.wake.wait(0.2)

    def rule(self, job):
        with self.lock:
            for rule in self.rules:
                if rule.get("index", job.index) == job.index and rule.get("attempt", len(job.attempts) + 1) == len(job.attempts) + 1:
                    self.rules.remove(rule)
                    return rule
        return {}

    def work(self, job):
        rule, stream = self.rule(job), f"{job.definition['jobDefinitionName']}/default/{job.id}-{len(job.attempts)}"
        if rule.get("do") == "pull":
            return self.finish(job, None, "CannotPullContainerError: pull image manifest has been retried 1 time(s): not found", stream,
                               "Task failed to start")
        environment = {**self.environment, "AWS_BATCH_JOB_ID": job.id, "AWS_BATCH_JOB_ATTEMPT": str(len(job.attempts) + 1)}
        if job.index is not None:
            environment["AWS_BATCH_JOB_ARRAY_INDEX"] = str(job.index)
        for secret in job.definition["containerProperties"].get("secrets", []):
            environment[secret["name"]] = self.secrets[secret["valueFrom"]]
        log = self.logs.setdefault(stream, [])
        job.process = subprocess.Popen([*self.run, *job.request["containerOverrides"]["command"]], env=environment, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, text=True, errors="replace")
        job.status = "RUNNING"
        if rule.get("do") in ("spot", "lost", "oom", "timeout"):
            threading.Thread(target=self.strike, args=(job, rule["do"], rule.get("when")), daemon=True).start()
        for line in job.process.stdout:
            log.append(line.rstrip("\n"))
        code = job.process.wait()
        self.signal(job, signal.SIGKILL)
        job.process.stdout.close()
        struck, reason, why = job.struck, None, "Essential container in task exited"
        code = 128 - code if code < 0 else code
        if struck in ("spot", "lost"):
            why = f"Host EC2 (instance i-{job.id[:8]}) terminated."
            code = None if struck == "lost" else code
        elif struck == "oom":
            reason, code = "OutOfMemoryError: Container killed due to memory usage", 137
        elif struck == "timeout":
            why = "Job attempt duration exceeded timeout"
        elif job.told:
            why = job.told
        self.finish(job, code, reason, stream, why)

    def strike(self, job, what, when):
        process = job.process
        while when and not when() and process.poll() is None:
            time.sleep(0.05)
        if process.poll() is not None:
            return
        job.struck = what
        self.signal(job, signal.SIGTERM if what in ("spot", "timeout") else signal.SIGKILL)

    def signal(self, job, signo):
        """A container ends with all that is in it: by SIGKILL every process of the job's session goes."""
        process = job.process
        if not process:
            return
        found = [process.pid] if signo != signal.SIGKILL else [process.pid, *session(process.pid)]
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signo)

    def finish(self, job, code, reason, stream, why):
        with self.lock:
            container = {k: v for k, v in (("exitCode", code), ("reason", reason), ("logStreamName", stream)) if v is not None}
            job.attempts.append({"container": container, "statusReason": why, "startedAt": job.created, "stoppedAt": milliseconds()})
            job.process, job.struck = None, None
            if self.run:
                self.running -= 1
            if code == 0 and not job.told:
                self.end(job, "SUCCEEDED", why)
            elif not job.told and self.retries(job, code, reason or "", why or ""):
                job.status = "SUBMITTED"
            else:
                self.end(job, "FAILED", why)
        self.kick()

    def retries(self, job, code, reason, why):
        strategy = job.request.get("retryStrategy", {})
        if len(job.attempts) >= strategy.get("attempts", 1):
            return False
        for rule in strategy.get("evaluateOnExit", []):
            if fnmatch.fnmatchcase(why, rule.get("onStatusReason", "*")) and fnmatch.fnmatchcase(reason, rule.get("onReason", "*")) \
               and fnmatch.fnmatchcase(str(code), rule.get("onExitCode", "*")):
                return rule["action"].upper() == "RETRY"
        return True

    def end(self, job, status, reason):
        job.status, job.reason = status, reason
        parent = self.jobs[job.id.rsplit(":", 1)[0]] if job.index is not None else None
        if not parent:
            return
        parent.left -= 1
        if not parent.left:
            parent.status = "FAILED" if any(c.status == "FAILED" for c in parent.children) else "SUCCEEDED"
            parent.reason = "Array Child Job failed" if parent.status == "FAILED" else None

    def stop(self):
        self.gone = True
        for job in list(self.jobs.values()):
            if job.process:
                self.signal(job, signal.SIGKILL)
