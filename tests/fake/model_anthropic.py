# SPDX-License-Identifier: GPL-3.0-or-later
"""Anthropic's dialect: Messages and count_tokens. Several user messages in a row are allowed, as they really are."""
import hashlib
import json
import re

from model_dialects import Refusal, check_schema, compact, ident, named_event, piece_size, pieces
from model_script import History, Tool

NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
KNOWN = set("""model messages max_tokens system metadata stop_sequences stream temperature top_p top_k tools
    tool_choice thinking service_tier container mcp_servers context_management betas output_config output_format
    cache_control inference_geo speed diagnostics fallbacks""".split())
COUNTED = {"model", "messages", "system", "tools", "tool_choice", "thinking", "mcp_servers", "context_management",
           "output_config", "output_format", "cache_control"}
BLOCKS = set("""text image document tool_use tool_result thinking redacted_thinking server_tool_use
    web_search_tool_result search_result container_upload mid_conv_system compaction""".split())


def refuse(message, status=400, kind="invalid_request_error"):
    return Refusal(status, {"type": "error", "error": {"type": kind, "message": message},
                            "request_id": "req_fake"})


def fault(status):
    known = {401: ("authentication_error", "invalid x-api-key"), 403: ("permission_error", "not permitted"),
             404: ("not_found_error", "model: unknown"), 413: ("request_too_large", "Request too large"),
             429: ("rate_limit_error", "This request would exceed your organization's rate limit."),
             500: ("api_error", "Internal server error"), 503: ("api_error", "Service unavailable"),
             529: ("overloaded_error", "Overloaded")}
    kind, message = known.get(status, ("api_error", f"status {status}"))
    return refuse(message, status, kind).doc


def blocks(content):
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def text_of(content):
    return "".join(b.get("text", "") for b in blocks(content) if b.get("type") == "text")


class Anthropic:
    name = "anthropic"
    has_cache_write = True
    fault = staticmethod(fault)

    @staticmethod
    def too_long(tokens, limit):
        return refuse(f"prompt is too long: {tokens} tokens > {limit} maximum")

    @staticmethod
    def auth(request, keys):
        scheme, _, bearer = (request.header("authorization") or "").partition(" ")
        key = request.header("x-api-key") or (bearer if scheme.lower() == "bearer" else "")
        if not key:
            raise refuse("x-api-key header is required", 401, "authentication_error")
        if keys is not None and key not in keys:
            raise refuse("invalid x-api-key", 401, "authentication_error")
        request.account = key
        return key

    @classmethod
    def check(cls, request, is_model):
        if not request.header("anthropic-version"):
            raise refuse("anthropic-version: header is required")
        if request.header("anthropic-version") not in ("2023-06-01", "2023-01-01"):
            raise refuse(f"anthropic-version: \"{request.header('anthropic-version')}\" is not a valid version.")
        if not request.is_json():
            raise refuse("content-type: Only application/json is supported.")
        doc = request.load(lambda text: refuse(f"The request body is not valid JSON: {text}"))
        counting = request.path.endswith("/count_tokens")
        for name in ["model", "messages"] + ([] if counting else ["max_tokens"]):
            if name not in doc:
                raise refuse(f"{name}: Field required")
        for name in doc:
            if name not in (COUNTED if counting else KNOWN):
                raise refuse(f"{name}: Extra inputs are not permitted")
        limit = doc.get("max_tokens", 1)
        if isinstance(limit, bool) or not isinstance(limit, int):
            raise refuse("max_tokens: Input should be a valid integer")
        if limit < 1:
            raise refuse("max_tokens: Input should be greater than or equal to 1")
        thinking = doc.get("thinking") or {}
        if thinking.get("type") == "enabled" and not thinking.get("budget_tokens", 0) < limit:
            raise refuse("`max_tokens` must be greater than `thinking.budget_tokens`.")
        if not isinstance(doc["model"], str) or not is_model(doc["model"]):
            raise refuse(f"model: {doc['model']}", 404, "not_found_error")
        cls.check_output(doc.get("output_config") or {})
        cls.check_tools(doc.get("tools") or [])
        cls.check_messages(doc)
        if limit > 128000:
            raise refuse(f"max_tokens: {limit} > 128000, which is the maximum allowed number of output tokens for {doc['model']}")
        cls.check_sampling(doc)
        cls.check_bindings(doc, request.account)
        return doc["model"]

    @staticmethod
    def check_sampling(doc):
        for name in ("temperature", "top_p", "top_k"):
            if "thinks" in doc["model"] and name in doc:
                raise refuse(f"`{name}` is not supported for this model.")

    @staticmethod
    def binding(doc, at, account):
        """The signature of a block of thinking in message AT: it holds after exactly this, for who was given it."""
        def bare(value):
            if isinstance(value, dict):
                return {k: bare(v) for k, v in value.items() if k != "cache_control"}
            return [bare(v) for v in value] if isinstance(value, list) else value

        before = bare([account, doc.get("system"), doc.get("tools"), doc["messages"][:at]])
        return hashlib.sha256(json.dumps(before, sort_keys=True).encode()).hexdigest()

    @classmethod
    def check_bindings(cls, doc, account):
        if "thinks" not in doc["model"]:
            return
        for at, message in enumerate(doc["messages"]):
            for number, block in enumerate(blocks(message["content"])):
                if block["type"] == "thinking" and block.get("signature") != cls.binding(doc, at, account):
                    raise refuse(f"messages.{at}.content.{number}: Invalid `signature` in `thinking` block. The block is "
                                 "bound to a different conversation. Remove the block, or set "
                                 "`thinking.block_binding.prefix_mismatch_behavior` to \"drop_block\".")

    @staticmethod
    def check_output(config):
        for name in config:
            if name not in ("format", "effort"):
                raise refuse(f"output_config.{name}: Extra inputs are not permitted")
        if config.get("effort") not in (None, "low", "medium", "high", "xhigh", "max"):
            raise refuse("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
        form = config.get("format")
        if form is None:
            return
        if form.get("type") != "json_schema" or set(form) != {"type", "schema"}:
            raise refuse("output_config.format: Extra inputs are not permitted")
        check_schema(form["schema"], lambda text: refuse(f"output_config.format.{text}"))

    @staticmethod
    def check_tools(tools):
        for at, tool in enumerate(tools):
            if not isinstance(tool, dict) or not NAME.fullmatch(str(tool.get("name", ""))):
                raise refuse(f"tools.{at}.custom.name: Field required")
            if tool.get("type", "custom") == "custom":
                schema = tool.get("input_schema")
                if not isinstance(schema, dict):
                    raise refuse(f"tools.{at}.custom.input_schema: Field required")
                if schema.get("type") != "object":
                    raise refuse(f"tools.{at}.custom.input_schema.type: Field required")
        names = [tool["name"] for tool in tools]
        if len(set(names)) != len(names):
            raise refuse("tools: Tool names must be unique.")

    @classmethod
    def check_messages(cls, doc):
        messages = doc["messages"]
        if not isinstance(messages, list):
            raise refuse("messages: Input should be a valid list")
        if not messages:
            raise refuse("messages: at least one message is required")
        cached = cls.cache_marks(doc)
        if cached > 4:
            raise refuse(f"A maximum of 4 blocks with cache_control may be provided. Found {cached}.")
        waiting = set()
        for at, message in enumerate(messages):
            if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
                raise refuse(f"messages.{at}.role: Input should be 'user' or 'assistant'")
            if at == 0 and message["role"] != "user":
                raise refuse('messages: first message must use the "user" role')
            waiting = cls.check_message(at, message, waiting, messages)
        if waiting:
            raise cls.unanswered(len(messages) - 1, waiting)
        last = messages[-1]
        if last["role"] == "assistant" and text_of(last["content"]) != text_of(last["content"]).rstrip():
            raise refuse("messages: final assistant content cannot end with trailing whitespace")

    @staticmethod
    def cache_marks(doc):
        system = doc.get("system")
        found = [b for b in (system if isinstance(system, list) else []) + (doc.get("tools") or [])]
        for message in doc["messages"]:
            content = message.get("content") if isinstance(message, dict) else None
            found += content if isinstance(content, list) else []
        return sum(isinstance(b, dict) and bool(b.get("cache_control")) for b in found)

    @staticmethod
    def unanswered(at, ids):
        return refuse(f"messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                      f"{', '.join(sorted(ids))}. Each `tool_use` block must have a corresponding `tool_result` block "
                      "in the next message.")

    @classmethod
    def check_message(cls, at, message, waiting, messages):
        content = message.get("content")
        if not isinstance(content, (str, list)):
            raise refuse(f"messages.{at}.content: Input should be a valid list")
        if not content and at + 1 < len(messages):
            raise refuse(f"messages.{at}: all messages must have non-empty content except for the optional final "
                         "assistant message")
        calls = set()
        for number, block in enumerate(blocks(content)):
            kind = block.get("type") if isinstance(block, dict) else None
            where = f"messages.{at}.content.{number}"
            if kind not in BLOCKS:
                raise refuse(f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags")
            if kind == "text" and not block.get("text"):
                raise refuse("messages: text content blocks must be non-empty")
            if kind == "tool_use":
                if message["role"] != "assistant":
                    raise refuse(f"{where}: `tool_use` blocks can only be in `assistant` messages")
                if not isinstance(block.get("input"), dict):
                    raise refuse(f"{where}.tool_use.input: Input should be a valid dictionary")
                if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", str(block.get("id"))):
                    raise refuse(f"{where}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
                calls.add(block["id"])
            if kind == "thinking" and not block.get("signature"):
                raise refuse(f"{where}.thinking.signature: Field required")
            if kind == "tool_result":
                if message["role"] != "user":
                    raise refuse(f"{where}: `tool_result` blocks can only be in `user` messages")
                if block.get("tool_use_id") not in waiting:
                    raise refuse(f"{where}: unexpected `tool_use_id` found in `tool_result` blocks: "
                                 f"{block.get('tool_use_id')}. Each `tool_result` block must have a corresponding "
                                 "`tool_use` block in the previous message.")
                waiting = waiting - {block["tool_use_id"]}
        if waiting:
            raise cls.unanswered(at - 1, waiting)
        return calls

    @staticmethod
    def history(request):
        doc = request.doc
        users, assistants, results = [], [], 0
        for message in doc["messages"]:
            found = blocks(message["content"])
            results += sum(b["type"] == "tool_result" for b in found)
            (users if message["role"] == "user" else assistants).append(text_of(message["content"]))
        tools = [Tool(t["name"], t.get("input_schema") or {}) for t in doc.get("tools") or []]
        return History(users, assistants, results, tools, text_of(doc.get("system") or ""))

    @staticmethod
    def usage(usage):
        written = usage["cache_write"]
        return {"input_tokens": usage["input"] - usage["cached"] - written,
                "cache_creation_input_tokens": written, "cache_read_input_tokens": usage["cached"],
                "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
                "output_tokens": usage["output"], "output_tokens_details": {"thinking_tokens": usage["reasoning"]},
                "service_tier": "standard"}

    @classmethod
    def content(cls, request, turn):
        if turn.reasoning and "thinks" in request.doc["model"]:
            yield {"type": "thinking", "thinking": "", "signature": cls.binding(request.doc, len(request.doc["messages"]), request.account)}
        thinks = (request.doc.get("thinking") or {}).get("type") in ("enabled", "adaptive")
        if turn.reasoning and thinks:
            yield {"type": "thinking", "thinking": turn.reasoning, "signature": "ZmFrZQ=="}
        if turn.refusal:
            return
        if turn.text or not turn.calls:
            yield {"type": "text", "text": turn.text}
        for at, call in enumerate(turn.calls):
            yield {"type": "tool_use", "id": ident("toolu_", request, at), "name": call.tool.name,
                   "input": call.arguments}

    @classmethod
    def message(cls, request, turn, served, content, stop, usage):
        return {"id": ident("msg_", request), "type": "message", "role": "assistant", "model": served,
                "content": content, "stop_reason": stop, "stop_sequence": None,
                **({"usage": usage} if usage else {})}

    @staticmethod
    def stop(turn):
        if turn.refusal:
            return "refusal"
        return {"length": "max_tokens"}.get(turn.stop, turn.stop) or ("tool_use" if turn.calls else "end_turn")

    @classmethod
    def answer(cls, request, turn, served, reported):
        if request.path.endswith("/count_tokens"):
            return compact({"input_tokens": turn.usage["input"]})
        return compact(cls.message(request, turn, served, list(cls.content(request, turn)), cls.stop(turn),
                                   cls.usage(turn.usage) if reported else None))

    @classmethod
    def events(cls, request, turn, served, reported):
        usage = cls.usage(turn.usage)
        yield named_event({"type": "message_start", "message": cls.message(
            request, turn, served, [], None, {**usage, "output_tokens": 1, "output_tokens_details": None} if reported else None)})
        for index, block in enumerate(cls.content(request, turn)):
            yield from cls.block_events(index, block)
        last = {"usage": {name: usage[name] for name in ("output_tokens", "output_tokens_details")}}
        yield named_event({"type": "message_delta", "delta": {"stop_reason": cls.stop(turn), "stop_sequence": None},
                           **(last if reported else {})})
        yield named_event({"type": "message_stop"})

    @staticmethod
    def block_events(index, block):
        kind = block["type"]
        member, delta = {"text": ("text", "text_delta"), "thinking": ("thinking", "thinking_delta"),
                         "tool_use": ("input", "input_json_delta")}[kind]
        empty = {**block, member: {} if kind == "tool_use" else ""}
        if kind == "thinking":
            empty["signature"] = ""
        yield named_event({"type": "content_block_start", "index": index, "content_block": empty})
        if index == 0:
            yield named_event({"type": "ping"})
        text = json.dumps(block["input"], ensure_ascii=False) if kind == "tool_use" else block[member]
        name = "partial_json" if kind == "tool_use" else member
        for piece in pieces(text, piece_size(text)):
            yield named_event({"type": "content_block_delta", "index": index, "delta": {"type": delta, name: piece}})
        if kind == "thinking":
            yield named_event({"type": "content_block_delta", "index": index,
                               "delta": {"type": "signature_delta", "signature": block["signature"]}})
        yield named_event({"type": "content_block_stop", "index": index})

    @staticmethod
    def streams(request):
        return bool(request.doc.get("stream")) and not request.path.endswith("/count_tokens")
