# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS that is not: Batch, S3, CloudWatch's logs, STS, single sign-on, and what instances and containers ask about themselves, on one port of
127.0.0.1. Every signature is checked; see aws_signatures.py, aws_s3.py and aws_batch.py. Standard library only.

    with AwsServer(run=["rollouts"]) as aws: ... aws.environment, aws.calls, aws.store.buckets["bkt"], aws.batch.jobs
"""
import json
import threading
import time
from collections import Counter
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from aws_batch import Batch
from aws_s3 import Store
from aws_signatures import Refused, check

REGION = "eu-test-1"
SOON = "2099-01-01T00:00:00Z"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def serve(self):
        path, _, query = self.path.partition("?")
        headers = {k.lower(): v for k, v in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        try:
            status, more, answer = self.server.aws.answer(self.command, path, query, headers, body)
        except Refused as why:
            status, more, answer = why.status, {}, self.server.aws.error(path, headers, why)
        self.send_response(status)
        more = {"Date": formatdate(time.time() + self.server.aws.skew, usegmt=True), **more}
        for name, value in more.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve

    def send_response(self, code, message=None):
        self.log_request(code)
        self.send_response_only(code, message)


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_):
        pass  # who leaves in the middle of an answer


class AwsServer:
    def __init__(self, page=1000, checksums=True, **batch):
        self.http = Listener(("127.0.0.1", 0), Handler)
        self.http.aws = self
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.keys = {"AKIAUSER": {"secret": "user/secret+"}}
        self.container_key = {"AccessKeyId": "ASIACONTAINER", "SecretAccessKey": "of/container", "Token": "con/tain+er==",
                              "Expiration": SOON}
        self.store, self.batch = Store(page=page, checksums=checksums), None
        self.calls, self.bodies, self.faults, self.skew = Counter(), [], [], 0
        self.sso, self.instance = {}, None
        self.environment = {"AWS_ENDPOINT_URL": self.url, "AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": "AKIAUSER",
                            "AWS_SECRET_ACCESS_KEY": "user/secret+", "AWS_EC2_METADATA_DISABLED": "true"}
        job = {"AWS_ENDPOINT_URL": self.url, "AWS_REGION": REGION, "PATH": "/usr/local/bin:/usr/bin:/bin",
               "AWS_CONTAINER_CREDENTIALS_FULL_URI": self.url + "/container-key", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "box",
               "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url}
        more = batch.pop("environment", {})
        self.batch = Batch(environment={**job, **more}, **batch)
        self.batch.definitions["rollouts"] = {"jobDefinitionName": "rollouts", "revision": 1, "status": "ACTIVE", "type": "container",
                                              "containerProperties": {"image": "rollouts", "secrets": []}}
        self.store.buckets["bkt"] = {}

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.batch.stop()
        self.http.shutdown()
        self.http.server_close()

    def service(self, path, headers):
        if path.startswith("/v1/"):
            return "batch"
        if "x-amz-target" in headers:
            return "logs"
        return "sts" if path == "/" else "s3"

    def error(self, path, headers, why):
        if self.service(path, headers) in ("batch", "logs"):
            return json.dumps({"__type": why.code, "message": why.text}).encode()
        inner = f"<Code>{why.code}</Code><Message>{escape(why.text)}</Message>"
        return f"<Error>{inner}</Error>".encode()

    def known_keys(self):
        c = self.container_key
        return {**self.keys, c["AccessKeyId"]: {"secret": c["SecretAccessKey"], "token": c["Token"]}}

    def answer(self, method, path, query, headers, body):
        plain = self.answer_unsigned(method, path, query, headers, body)
        if plain is not None:
            return plain
        service = self.service(path, headers)
        word = path.removeprefix("/v1/") if service == "batch" else f"{service} {method}"
        self.calls[word] += 1
        fault = next((f for f in self.faults if f["call"] in word and f["times"] > 0), None)
        if fault:
            fault["times"] -= 1
            if fault.get("heard"):  # it is done, and the answer is lost
                self.batch.handle(path, json.loads(body))
            raise Refused(fault["status"], fault["code"], "a fault on request")
        check(method, path, query, headers, body, self.known_keys(), service, REGION, self.skew)
        if service == "batch":
            self.bodies.append((word, json.loads(body)))
            return 200, {"Content-Type": "application/json"}, json.dumps(self.batch.handle(path, json.loads(body))).encode()
        if service == "logs":
            return 200, {}, json.dumps(self.on_logs(headers["x-amz-target"], json.loads(body))).encode()
        if service == "sts":
            return 200, {}, self.on_sts(parse_qs(body.decode()))
        return self.store.handle(method, path, query, headers, body)

    def answer_unsigned(self, method, path, query, headers, body):
        if path == "/container-key":
            if headers.get("authorization") != "box":
                return 403, {}, b"{}"
            return 200, {}, json.dumps(self.container_key).encode()
        if path.startswith("/latest/"):
            return self.on_instance(method, path.removeprefix("/latest/"), headers)
        if path == "/federation/credentials":
            role = self.sso.get(headers.get("x-amz-sso_bearer_token"), {}).get(parse_qs(query)["role_name"][0])
            return (200, {}, json.dumps({"roleCredentials": role}).encode()) if role else (401, {}, b"{}")
        form = parse_qs(body.decode(errors="replace")) if path == "/" and method == "POST" else {}
        if form.get("Action") == ["AssumeRoleWithWebIdentity"] and "authorization" not in headers:
            return 200, {}, self.on_sts(form)
        return None

    def on_instance(self, method, path, headers):
        if not self.instance:
            return 404, {}, b""
        if path == "api/token":
            return (200, {}, b"imds") if method == "PUT" and "x-aws-ec2-metadata-token-ttl-seconds" in headers else (405, {}, b"")
        if headers.get("x-aws-ec2-metadata-token") != "imds":
            return 401, {}, b""
        text = self.instance.get(path)
        return (404, {}, b"") if text is None else (200, {}, text.encode())

    def on_sts(self, form):
        role = form.get("RoleArn", ["caller"])[0]
        if form["Action"][0] == "GetCallerIdentity":
            return b"<R><Arn>arn:aws:iam::1:user/u</Arn></R>"
        if "forbidden" in role:
            raise Refused(403, "AccessDenied", f"not authorized to perform: sts:AssumeRole on {role}")
        key = f"ASIA{abs(hash(role)) % 10**8}"
        self.keys[key] = {"secret": "of/role", "token": "ro/le=="}
        return (f"<R><Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>of/role</SecretAccessKey>"
                f"<SessionToken>ro/le==</SessionToken><Expiration>{SOON}</Expiration></Credentials></R>").encode()

    def on_logs(self, target, body):
        word = target.split(".")[1]
        if word == "GetLogEvents":
            lines = self.batch.logs.get(body["logStreamName"], [])
            return {"events": [{"message": line} for line in lines[-body.get("limit", 10000):]]}
        return {"logGroups": [{"logGroupName": "/aws/batch/job"}]} if word == "DescribeLogGroups" else {}
