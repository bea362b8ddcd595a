# SPDX-License-Identifier: GPL-3.0-or-later
"""The smallest agent there is, for tests: model_agent.py API URL TOKEN MODEL [stream]; the prompt on standard input.

It runs what the model calls with sh and tells the model what came of it, until there is no call. It says
each command and text as a line of JSON. Anything but an answer of the model's is its end, with status 1.
"""
import json
import subprocess
import sys
import urllib.error
import urllib.request

PARAMETERS = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}


def say(**line):
    print(json.dumps(line), flush=True)


def post(url, headers, doc):
    request = urllib.request.Request(url, json.dumps(doc).encode(), {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request) as answer:
            data = answer.read().decode()
    except urllib.error.HTTPError as error:
        say(status=error.code, error=error.read().decode())
        sys.exit(1)
    if not data.startswith(("data:", "event:")):
        return [json.loads(data)]
    lines = [line[6:] for line in data.replace("\r\n", "\n").split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def execute(command):
    say(command=command)
    done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    text = done.stdout.decode(errors="replace")
    say(output=text, status=done.returncode)
    return text or "(nothing)"


class Chat:
    path = "/v1/chat/completions"

    def __init__(self, token, model, prompt, stream):
        self.headers = {"Authorization": "Bearer " + token}
        self.doc = {"model": model, "stream": stream, "messages": [{"role": "user", "content": prompt}], "tools": [
            {"type": "function", "function": {"name": "bash", "parameters": PARAMETERS}}]}

    def take(self, answers):
        """Read an answer into the history; returns whether there were calls."""
        text, calls = "", {}
        for answer in answers:
            for choice in answer["choices"]:
                message = choice.get("delta") or choice.get("message") or {}
                text += message.get("content") or ""
                for at, call in enumerate(message.get("tool_calls") or []):
                    known = calls.setdefault(call.get("index", at), {"id": "", "arguments": ""})
                    known["id"] += call.get("id", "")
                    known["arguments"] += call["function"].get("arguments", "")
        say(said=text)
        made = [{"id": c["id"], "type": "function", "function": {"name": "bash", "arguments": c["arguments"]}}
                for c in calls.values()]
        self.doc["messages"].append({"role": "assistant", "content": text, **({"tool_calls": made} if made else {})})
        self.doc["messages"] += [{"role": "tool", "tool_call_id": c["id"],
                                  "content": execute(json.loads(c["arguments"])["command"])} for c in calls.values()]
        return bool(made)


class Responses:
    path = "/v1/responses"

    def __init__(self, token, model, prompt, stream):
        self.headers = {"Authorization": "Bearer " + token}
        self.doc = {"model": model, "stream": stream, "input": [{"role": "user", "content": prompt}], "tools": [
            {"type": "function", "name": "bash", "parameters": PARAMETERS}]}

    def take(self, answers):
        items = answers[-1].get("response", answers[-1])["output"]
        say(said="".join(p["text"] for i in items if i["type"] == "message" for p in i["content"]))
        calls = [item for item in items if item["type"] == "function_call"]
        self.doc["input"] += items + [{"type": "function_call_output", "call_id": c["call_id"],
                                       "output": execute(json.loads(c["arguments"])["command"])} for c in calls]
        return bool(calls)


class Anthropic:
    path = "/v1/messages"

    def __init__(self, token, model, prompt, stream):
        self.headers = {"x-api-key": token, "anthropic-version": "2023-06-01"}
        self.doc = {"model": model, "stream": stream, "max_tokens": 1000, "tools": [
            {"name": "bash", "input_schema": PARAMETERS}], "messages": [{"role": "user", "content": prompt}]}

    def take(self, answers):
        blocks = answers[0].get("content", [])
        for event in answers:
            if event.get("type") == "content_block_start":
                blocks.append({**event["content_block"]})
                pieces = ""
            elif event.get("type") == "content_block_delta":
                pieces += event["delta"].get("text", event["delta"].get("partial_json", ""))
            elif event.get("type") == "content_block_stop":
                if blocks[-1]["type"] == "tool_use":
                    blocks[-1]["input"] = json.loads(pieces)
                else:
                    blocks[-1]["text"] = pieces
        say(said="".join(b.get("text", "") for b in blocks))
        self.doc["messages"].append({"role": "assistant", "content": blocks})
        results = [{"type": "tool_result", "tool_use_id": b["id"], "content": execute(b["input"]["command"])}
                   for b in blocks if b["type"] == "tool_use"]
        if results:
            self.doc["messages"].append({"role": "user", "content": results})
        return bool(results)


class Gemini:
    def __init__(self, token, model, prompt, stream):
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        self.path = f"/v1beta/models/{model}:{verb}"
        self.headers = {"x-goog-api-key": token}
        self.doc = {"contents": [{"role": "user", "parts": [{"text": prompt}]}], "tools": [
            {"functionDeclarations": [{"name": "bash", "parametersJsonSchema": PARAMETERS}]}]}

    def take(self, answers):
        parts = [part for answer in answers for part in answer["candidates"][0]["content"]["parts"]]
        say(said="".join(part.get("text", "") for part in parts))
        self.doc["contents"].append({"role": "model", "parts": parts})
        results = [{"functionResponse": {"name": "bash", "response": {
            "output": execute(part["functionCall"]["args"]["command"])}}} for part in parts if "functionCall" in part]
        if results:
            self.doc["contents"].append({"role": "user", "parts": results})
        return bool(results)


def main():
    api, url, token, model, *more = sys.argv[1:]
    kind = {"chat": Chat, "responses": Responses, "anthropic": Anthropic, "gemini": Gemini}[api]
    talk = kind(token, model, sys.stdin.read(), "stream" in more)
    while talk.take(post(url + talk.path, talk.headers, talk.doc)):
        pass


if __name__ == "__main__":
    main()
