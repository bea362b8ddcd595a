# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenAI's two dialects: Chat Completions and Responses."""
import hashlib
import json
import re

from model_dialects import Refusal, check_schema, compact, data_event, ident, named_event, piece_size, pieces
from model_script import History, Tool

CREATED = 1790000000
NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")


def refuse(message, status=400, kind="invalid_request_error", param=None, code=None):
    return Refusal(status, {"error": {"message": message, "type": kind, "param": param, "code": code}})


def missing(param):
    return refuse(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def wrong(param, message):
    return refuse(f"Invalid value for '{param}': {message}", param=param, code="invalid_value")


def wrong_type(param, expected):
    return refuse(f"Invalid type for '{param}': expected {expected}.", param=param, code="invalid_type")


def fault(status):
    """The answer that the provider gives with STATUS."""
    known = {401: ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
             403: ("You do not have access to this resource.", "invalid_request_error", "forbidden"),
             404: ("The model does not exist or you do not have access to it.", "invalid_request_error",
                   "model_not_found"),
             429: ("Rate limit reached for requests per min.", "requests", "rate_limit_exceeded"),
             500: ("The server had an error while processing your request.", "server_error", None),
             503: ("The engine is currently overloaded, please try again later.", "server_error", None)}
    message, kind, code = known.get(status, (f"An error of status {status}.", "api_error", None))
    return refuse(message, status, kind, None, code).doc


def check_auth(request, keys):
    scheme, _, key = (request.header("authorization") or "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise refuse("You didn't provide an API key. You need to provide your API key in an Authorization header "
                     "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).", 401)
    if keys is not None and key not in keys:
        raise refuse(f"Incorrect API key provided: {key[:3]}***.", 401, code="invalid_api_key")
    request.account = key
    return key


def check_body(request):
    if not request.is_json():
        raise refuse(f"Unsupported content type: '{request.header('content-type')}'. This API method only accepts "
                     "'application/json' requests.", 415, code="unsupported_content_type")
    return request.load(lambda text: refuse(f"We {text}"))


def check_model(doc, is_model):
    model = doc.get("model")
    if not isinstance(model, str) or not model:
        raise refuse("you must provide a model parameter")
    if not is_model(model):
        raise refuse(f"The model `{model}` does not exist or you do not have access to it.", 404, param=None,
                     code="model_not_found")
    return model


def check_known(doc, known):
    for name in doc:
        if name not in known:
            raise refuse(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")


def check_number(doc, name, low, high):
    value = doc.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(name, "a number")
    if not low <= value <= high:
        raise wrong(name, f"expected a value from {low} to {high}, but got {value}.")


def check_format(doc, param):
    """A json_schema as both dialects have it, each in its own place."""
    if doc.get("type") == "text" or doc.get("type") == "json_object":
        return
    if doc.get("type") != "json_schema":
        raise wrong(param + ".type", "supported values are: 'json_object', 'json_schema', and 'text'.")
    inner = doc if "schema" in doc else doc.get("json_schema") or {}
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", str(inner.get("name", ""))):
        raise missing(param + ".name")
    for name in inner:
        if name not in ("type", "name", "schema", "strict", "description"):
            raise refuse(f"Unknown parameter: '{param}.{name}'.", param=param, code="unknown_parameter")
    check_schema(inner.get("schema"), lambda text: refuse(
        f"Invalid schema for response_format '{inner['name']}': {text}", param=param, code="invalid_json_schema"))


def check_effort(value, param):
    if value not in (None, "none", "minimal", "low", "medium", "high", "xhigh", "max"):
        raise wrong(param, "supported values are: 'none', 'minimal', 'low', 'medium', 'high', 'xhigh', and 'max'.")


def parts_text(content):
    if isinstance(content, str):
        return content
    return "".join(p.get("text", "") for p in content or [] if isinstance(p, dict))


class Chat:
    name = "chat"
    has_cache_write = False
    fault = staticmethod(fault)
    auth = staticmethod(check_auth)

    @staticmethod
    def too_long(tokens, limit):
        return refuse(f"This model's maximum context length is {limit} tokens. However, your messages resulted in "
                      f"{tokens} tokens. Please reduce the length of the messages.", param="messages",
                      code="context_length_exceeded")

    KNOWN = set("""messages model audio frequency_penalty function_call functions logit_bias logprobs
        max_completion_tokens max_tokens metadata modalities moderation n parallel_tool_calls prediction
        presence_penalty prompt_cache_key prompt_cache_options prompt_cache_retention reasoning_effort
        response_format safety_identifier seed service_tier stop store stream stream_options temperature
        tool_choice tools top_logprobs top_p user verbosity web_search_options""".split())

    @classmethod
    def check(cls, request, is_model):
        doc = check_body(request)
        # Servers of other models have a member more.
        check_known(doc, cls.KNOWN | ({"thinking"} if "gpt" not in str(doc.get("model")) else set()))
        check_model(doc, is_model)
        check_number(doc, "temperature", 0, 2)
        check_number(doc, "top_p", 0, 1)
        for name in ("max_tokens", "max_completion_tokens"):
            check_number(doc, name, 1, 10_000_000)
        if "stream_options" in doc and doc["stream_options"] is not None and not doc.get("stream"):
            raise refuse("The 'stream_options' parameter is only allowed when 'stream' is enabled.",
                         param="stream_options")
        if doc.get("response_format") is not None:
            if "schema" in doc["response_format"]:
                raise refuse("Unknown parameter: 'response_format.schema'.", param="response_format.schema",
                             code="unknown_parameter")
            check_format(doc["response_format"], "response_format")
        check_effort(doc.get("reasoning_effort"), "reasoning_effort")
        cls.check_tools(doc)
        cls.check_messages(doc)
        return doc["model"]

    @staticmethod
    def check_tools(doc):
        tools = doc.get("tools")
        if tools is None:
            if doc.get("tool_choice") is not None:
                raise refuse("'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
            return
        if not isinstance(tools, list):
            raise wrong_type("tools", "an array")
        if not tools:
            raise refuse("Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty "
                         "array instead.", param="tools", code="empty_array")
        for at, tool in enumerate(tools):
            if tool.get("type") not in ("function", "custom"):
                raise wrong(f"tools[{at}].type", "expected 'function' or 'custom'.")
            inner = tool.get(tool["type"])
            if not isinstance(inner, dict) or "name" not in inner:
                raise missing(f"tools[{at}].{tool['type']}.name")
            if not NAME.fullmatch(inner["name"]):
                raise wrong(f"tools[{at}].{tool['type']}.name", "it does not match the pattern.")
            parameters = inner.get("parameters", {})
            if parameters and parameters.get("type") != "object":
                raise refuse(f"Invalid schema for function '{inner['name']}': schema must be a JSON Schema of "
                             "'type: \"object\"'.", param=f"tools[{at}].function.parameters",
                             code="invalid_function_parameters")

    @classmethod
    def check_messages(cls, doc):
        messages = doc.get("messages")
        if messages is None:
            raise missing("messages")
        if not isinstance(messages, list):
            raise wrong_type("messages", "an array of objects")
        if not messages:
            raise refuse("Invalid 'messages': empty array. Expected an array with minimum length 1, but got an "
                         "empty array instead.", param="messages", code="empty_array")
        waiting = []
        for at, message in enumerate(messages):
            waiting = cls.check_message(at, message, waiting)
            if "thinks" in doc["model"] and message.get("tool_calls") and "reasoning_content" not in message:
                raise refuse("The `reasoning_content` in the thinking mode must be passed back to the API.")
        if waiting:
            raise cls.unanswered(waiting, len(messages))

    @staticmethod
    def unanswered(ids, at):
        return refuse("An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                      f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(ids)}",
                      param=f"messages.[{at}].role")

    @classmethod
    def check_message(cls, at, message, waiting):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ("system", "developer", "user", "assistant", "tool", "function"):
            raise wrong(f"messages[{at}].role", "supported values are: 'system', 'assistant', 'user', 'function', "
                        "'tool', and 'developer'.")
        if role == "tool":
            if "tool_call_id" not in message:
                raise missing(f"messages[{at}].tool_call_id")
            if message["tool_call_id"] not in waiting:
                raise refuse("Invalid parameter: messages with role 'tool' must be a response to a preceeding "
                             "message with 'tool_calls'.", param=f"messages.[{at}].role")
            waiting = [i for i in waiting if i != message["tool_call_id"]]
        elif waiting:
            raise cls.unanswered(waiting, at)
        calls = message.get("tool_calls") if role == "assistant" else None
        content = message.get("content")
        if content is None and not calls:
            raise wrong_type(f"messages[{at}].content", "one of a string or array of objects, but got null instead")
        if content is not None and not isinstance(content, (str, list)):
            raise wrong_type(f"messages[{at}].content", "one of a string or array of objects")
        if isinstance(content, list):
            for number, part in enumerate(content):
                if not isinstance(part, dict) or part.get("type") not in ("text", "image_url", "input_audio", "file",
                                                                         "refusal"):
                    raise wrong(f"messages[{at}].content[{number}].type", "it is not supported.")
        for number, call in enumerate(calls or []):
            inner = call.get(call.get("type", ""), {})
            if not call.get("id") or not isinstance(inner.get("name"), str):
                raise missing(f"messages[{at}].tool_calls[{number}].id")
            if call["type"] == "function" and not isinstance(inner.get("arguments"), str):
                raise wrong_type(f"messages[{at}].tool_calls[{number}].function.arguments", "a string")
            waiting = waiting + [call["id"]]
        return waiting

    @staticmethod
    def history(request):
        doc = request.doc
        messages = doc["messages"]
        said = {role: [parts_text(m.get("content")) for m in messages if m["role"] == role]
                for role in ("user", "assistant", "system", "developer")}
        tools = [Tool(t[t["type"]]["name"], t[t["type"]].get("parameters") or {}, t["type"])
                 for t in doc.get("tools") or []]
        return History(said["user"], said["assistant"], sum(m["role"] == "tool" for m in messages), tools,
                       "\n".join(said["system"] + said["developer"]))

    @staticmethod
    def usage(usage):
        return {"prompt_tokens": usage["input"], "completion_tokens": usage["output"],
                "total_tokens": usage["input"] + usage["output"],
                "prompt_tokens_details": {"cached_tokens": usage["cached"], "audio_tokens": 0,
                                          "cache_write_tokens": usage["cache_write"]},
                "completion_tokens_details": {"reasoning_tokens": usage["reasoning"], "audio_tokens": 0,
                                              "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}}

    @staticmethod
    def calls(request, turn):
        return [{"id": ident("call_", request, at), "type": "function",
                 "function": {"name": call.tool.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)}}
                for at, call in enumerate(turn.calls)]

    @staticmethod
    def finish(turn):
        return turn.stop or ("tool_calls" if turn.calls else "stop")

    @classmethod
    def answer(cls, request, turn, served, reported):
        message = {"role": "assistant", "content": None if turn.refusal else turn.text or None,
                   "refusal": turn.refusal or None, "annotations": []}
        if "thinks" in request.doc["model"]:
            message["reasoning_content"] = turn.reasoning
        if turn.calls:
            message["tool_calls"] = cls.calls(request, turn)
        doc = {"id": ident("chatcmpl-", request), "object": "chat.completion", "created": CREATED, "model": served,
               "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": cls.finish(turn)}],
               "service_tier": "default", "system_fingerprint": "fp_fake"}
        if reported:
            doc["usage"] = cls.usage(turn.usage)
        return json.dumps(doc, ensure_ascii=False, indent=2).encode() + b"\n"

    @classmethod
    def events(cls, request, turn, served, reported):
        asked = bool((request.doc.get("stream_options") or {}).get("include_usage"))

        def chunk(delta=None, finish=None, usage=None):
            choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None,
                                                 "finish_reason": finish}]
            doc = {"id": ident("chatcmpl-", request), "object": "chat.completion.chunk", "created": CREATED,
                   "model": served, "service_tier": "default", "system_fingerprint": "fp_fake", "choices": choices}
            if asked:
                doc["usage"] = usage
            return data_event(doc)

        yield chunk({"role": "assistant", "content": "", "refusal": None})
        if "thinks" in request.doc["model"]:
            for piece in pieces(turn.reasoning or "", 9) or [""]:
                yield chunk({"reasoning_content": piece})
        said, text = ("refusal", turn.refusal) if turn.refusal else ("content", turn.text)
        for piece in pieces(text, piece_size(text)):
            yield chunk({said: piece})
        for at, call in enumerate(cls.calls(request, turn)):
            inner = call["function"]
            yield chunk({"tool_calls": [{"index": at, "id": call["id"], "type": "function",
                                         "function": {"name": inner["name"], "arguments": ""}}]})
            for piece in pieces(inner["arguments"], piece_size(inner["arguments"])):
                yield chunk({"tool_calls": [{"index": at, "function": {"arguments": piece}}]})
        yield chunk({}, cls.finish(turn))
        if asked and reported:
            yield chunk(usage=cls.usage(turn.usage))
        yield b"data: [DONE]\n\n"

    @staticmethod
    def streams(request):
        return bool(request.doc.get("stream"))


class Responses:
    name = "responses"
    has_cache_write = False
    fault = staticmethod(fault)
    auth = staticmethod(check_auth)

    @staticmethod
    def too_long(tokens, limit):
        return refuse("Your input exceeds the context window of this model. Please adjust your input and try again.",
                      param="input", code="context_length_exceeded")

    KNOWN = set("""background client_metadata context_management conversation include input instructions
        max_output_tokens max_tool_calls metadata model moderation parallel_tool_calls previous_response_id prompt
        prompt_cache_key prompt_cache_options prompt_cache_retention reasoning safety_identifier service_tier store
        stream stream_options temperature text tool_choice tools top_logprobs top_p truncation user""".split())
    ITEMS = set("""message reasoning function_call function_call_output custom_tool_call custom_tool_call_output
        local_shell_call local_shell_call_output shell_call shell_call_output apply_patch_call
        apply_patch_call_output web_search_call item_reference additional_tools compaction ghost_snapshot
        tool_search_call tool_search_output""".split())
    PARTS = {"input_text", "input_image", "input_file", "input_audio", "output_text", "refusal"}

    @classmethod
    def check(cls, request, is_model):
        doc = check_body(request)
        check_known(doc, cls.KNOWN)
        check_model(doc, is_model)
        check_number(doc, "temperature", 0, 2)
        check_number(doc, "max_output_tokens", 16, 10_000_000)
        check_number(doc, "top_p", 0, 1)
        if (doc.get("text") or {}).get("format") is not None:
            if "json_schema" in doc["text"]["format"]:
                raise refuse("Unknown parameter: 'text.format.json_schema'.", param="text.format.json_schema",
                             code="unknown_parameter")
            check_format(doc["text"]["format"], "text.format")
        check_effort((doc.get("reasoning") or {}).get("effort"), "reasoning.effort")
        if doc.get("previous_response_id"):
            raise refuse(f"Previous response with id '{doc['previous_response_id']}' not found.",
                         param="previous_response_id", code="previous_response_not_found")
        for at, tool in enumerate(doc.get("tools") or []):
            if not isinstance(tool, dict) or not isinstance(tool.get("type"), str):
                raise missing(f"tools[{at}].type")
            if tool["type"] in ("function", "custom") and not NAME.fullmatch(str(tool.get("name", ""))):
                raise missing(f"tools[{at}].name")
        value = doc.get("input")
        if value is None:
            raise missing("input")
        if not isinstance(value, (str, list)):
            raise wrong_type("input", "one of a string or array of input items")
        if isinstance(value, list):
            cls.check_items(value)
        if "thinks" in doc["model"]:
            cls.check_thinking(doc, request.account)
        return doc["model"]

    @staticmethod
    def sealed(account):
        return "sealed-for-" + hashlib.sha256(account.encode()).hexdigest()[:16]

    @classmethod
    def check_thinking(cls, doc, account):
        """A model that reasons samples as it likes, and wants what it thought before a call with the call."""
        for name in ("temperature", "top_p"):
            if name in doc:
                raise refuse(f"Unsupported parameter: '{name}' is not supported with this model.", param=name,
                             code="unsupported_parameter")
        thought = False
        for at, item in enumerate(doc["input"] if isinstance(doc["input"], list) else []):
            kind = item.get("type", "message")
            if kind == "reasoning":
                thought = True
                if item.get("encrypted_content") != cls.sealed(account):
                    raise refuse("The encrypted content could not be verified.", param=f"input[{at}]",
                                 code="invalid_encrypted_content")
            elif kind == "function_call" and not thought:
                raise refuse(f"Item '{item.get('call_id')}' of type 'function_call' was provided without its required "
                             "'reasoning' item.", param="input")
            elif kind != "function_call" and item.get("role") != "assistant":
                thought = False

    @classmethod
    def check_items(cls, items):
        calls, outputs = {}, {}
        for at, item in enumerate(items):
            kind = item.get("type", "message") if isinstance(item, dict) else None
            if kind not in cls.ITEMS:
                raise wrong(f"input[{at}].type", f"'{kind}' is not supported.")
            if kind == "message":
                cls.check_message(at, item)
            elif kind.endswith("_output"):
                if "output" not in item and kind != "tool_search_output":
                    raise missing(f"input[{at}].output")
                outputs[item.get("call_id")] = at
            elif kind in ("function_call", "custom_tool_call", "local_shell_call"):
                for name in ("call_id",) + (("name", "arguments") if kind == "function_call" else ()):
                    if not isinstance(item.get(name), str):
                        raise missing(f"input[{at}].{name}")
                calls[item["call_id"]] = kind
        for call in calls:
            if call not in outputs:
                raise refuse(f"No tool output found for function call {call}.", param="input")
        for output in outputs:
            if output not in calls:
                raise refuse(f"No tool call found for function call output with call_id {output}.", param="input")

    @classmethod
    def check_message(cls, at, item):
        if item.get("role") not in ("user", "assistant", "system", "developer"):
            raise wrong(f"input[{at}].role", "supported values are: 'assistant', 'system', 'developer', and 'user'.")
        content = item.get("content")
        if content is None:
            raise missing(f"input[{at}].content")
        for number, part in enumerate(content if isinstance(content, list) else []):
            kind = part.get("type")
            good = cls.PARTS - ({"input_text"} if item["role"] == "assistant" else {"output_text"})
            if kind not in good:
                raise wrong(f"input[{at}].content[{number}]", f"'{kind}' is not supported with the "
                            f"'{item['role']}' role.")

    @classmethod
    def history(cls, request):
        doc = request.doc
        items = doc["input"] if isinstance(doc["input"], list) else [{"role": "user", "content": doc["input"]}]
        texts = {"user": [], "assistant": [], "system": [doc.get("instructions") or ""], "developer": []}
        tools = list(cls.tools(doc.get("tools") or []))
        results = 0
        for item in items:
            kind = item.get("type", "message")
            if kind == "message":
                texts[item["role"]].append(parts_text(item["content"]))
            results += kind.endswith("_output")
            if kind == "additional_tools":
                tools += cls.tools(item.get("tools") or item.get("namespaces") or [])
        return History(texts["user"], texts["assistant"], results, tools,
                       "\n".join(texts["system"] + texts["developer"]))

    @classmethod
    def tools(cls, entries):
        for entry in entries:
            kind, name = entry.get("type"), entry.get("name")
            if kind == "custom":
                # Code mode: one tool that takes JavaScript and reaches the others from there.
                yield Tool(name, {}, "code" if name == "exec" else "custom")
            elif isinstance(entry.get("tools"), list):
                yield from cls.tools(entry["tools"])
            elif name:
                yield Tool(name, entry.get("parameters") or {})

    @staticmethod
    def usage(usage):
        return {"input_tokens": usage["input"],
                "input_tokens_details": {"cached_tokens": usage["cached"], "cache_write_tokens": usage["cache_write"]},
                "output_tokens": usage["output"],
                "output_tokens_details": {"reasoning_tokens": usage["reasoning"]},
                "total_tokens": usage["input"] + usage["output"]}

    @staticmethod
    def items(request, turn):
        thinks = "thinks" in request.doc["model"]
        if turn.reasoning or thinks:
            asked = "reasoning.encrypted_content" in (request.doc.get("include") or [])
            yield {"id": ident("rs_", request), "type": "reasoning",
                   "summary": [{"type": "summary_text", "text": turn.reasoning or ""}],
                   **({"encrypted_content": Responses.sealed(request.account)} if thinks and asked else {})}
        if turn.refusal:
            yield {"id": ident("msg_", request), "type": "message", "status": "completed", "role": "assistant",
                   "content": [{"type": "refusal", "refusal": turn.refusal}]}
        elif turn.text or not turn.calls:
            yield {"id": ident("msg_", request), "type": "message", "status": "completed", "role": "assistant",
                   "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": turn.text}]}
        for at, call in enumerate(turn.calls):
            item = {"status": "completed", "call_id": ident("call_", request, at), "name": call.tool.name}
            if isinstance(call.arguments, str):
                yield {"id": ident("ctc_", request, at), "type": "custom_tool_call", **item,
                       "input": call.arguments}
            else:
                yield {"id": ident("fc_", request, at), "type": "function_call", **item,
                       "arguments": json.dumps(call.arguments, ensure_ascii=False)}

    @classmethod
    def document(cls, request, turn, served, reported, status):
        doc, done = request.doc, status != "in_progress"
        return {"id": ident("resp_", request), "object": "response", "created_at": CREATED, "status": status,
                "background": False, "error": None,
                "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
                "instructions": doc.get("instructions"), "max_output_tokens": doc.get("max_output_tokens"),
                "model": served, "output": list(cls.items(request, turn)) if done else [],
                "parallel_tool_calls": doc.get("parallel_tool_calls", True), "previous_response_id": None,
                "reasoning": doc.get("reasoning") or {"effort": None, "summary": None},
                "service_tier": "default", "store": doc.get("store", True), "temperature": 1.0,
                "text": doc.get("text") or {"format": {"type": "text"}}, "tool_choice": doc.get("tool_choice", "auto"),
                "tools": doc.get("tools", []), "top_p": 1.0, "truncation": "disabled",
                "usage": cls.usage(turn.usage) if done and reported else None, "user": None, "metadata": {}}

    @staticmethod
    def status(turn):
        return "incomplete" if turn.stop == "length" else "completed"

    @classmethod
    def answer(cls, request, turn, served, reported):
        doc = cls.document(request, turn, served, reported, cls.status(turn))
        return json.dumps(doc, ensure_ascii=False, indent=2).encode() + b"\n"

    @classmethod
    def events(cls, request, turn, served, reported):
        count = -1

        def event(kind, **members):
            nonlocal count
            count += 1
            return named_event({"type": kind, "sequence_number": count, **members})

        begun = cls.document(request, turn, served, reported, "in_progress")
        yield event("response.created", response=begun)
        yield event("response.in_progress", response=begun)
        for index, item in enumerate(cls.items(request, turn)):
            yield from cls.item_events(event, index, item)
        status = cls.status(turn)
        yield event(f"response.{status}", response=cls.document(request, turn, served, reported, status))

    @staticmethod
    def item_events(event, index, item):
        where = {"output_index": index, "item_id": item["id"]}
        empty = {k: v for k, v in item.items() if k != "status"}
        kind = item["type"]
        if kind != "reasoning":
            empty["status"] = "in_progress"
        if kind == "reasoning":
            text = item["summary"][0]["text"]
            yield event("response.output_item.added", output_index=index, item={**empty, "summary": []})
            where["summary_index"] = 0
            yield event("response.reasoning_summary_part.added", **where, part={"type": "summary_text", "text": ""})
            for piece in pieces(text, piece_size(text)):
                yield event("response.reasoning_summary_text.delta", **where, delta=piece)
            yield event("response.reasoning_summary_text.done", **where, text=text)
            yield event("response.reasoning_summary_part.done", **where, part=item["summary"][0])
        elif kind == "message":
            part = item["content"][0]
            member, said = ("refusal", "refusal") if part["type"] == "refusal" else ("text", "output_text")
            text = part[member]
            yield event("response.output_item.added", output_index=index, item={**empty, "content": []})
            where["content_index"] = 0
            yield event("response.content_part.added", **where, part={**part, member: ""})
            for piece in pieces(text, piece_size(text)):
                yield event(f"response.{said}.delta", **where, delta=piece, **({} if said == "refusal" else {"logprobs": []}))
            yield event(f"response.{said}.done", **where, **{member: text})
            yield event("response.content_part.done", **where, part=part)
        else:
            member, stem = (("arguments", "function_call_arguments") if kind == "function_call"
                            else ("input", "custom_tool_call_input"))
            text = item[member]
            yield event("response.output_item.added", output_index=index, item={**empty, member: ""})
            for piece in pieces(text, piece_size(text)):
                yield event(f"response.{stem}.delta", **where, delta=piece)
            yield event(f"response.{stem}.done", **where, **{member: text})
        yield event("response.output_item.done", output_index=index, item=item)

    @staticmethod
    def streams(request):
        return bool(request.doc.get("stream"))


def models(request, names):
    """GET /v1/models, and /v1/models/NAME."""
    entries = [{"id": name, "object": "model", "created": CREATED, "owned_by": "fake"} for name in names]
    wanted = request.path.removeprefix("/v1/models").strip("/")
    if not wanted:
        return compact({"object": "list", "data": entries})
    for entry in entries:
        if entry["id"] == wanted:
            return compact(entry)
    raise refuse(f"The model `{wanted}` does not exist or you do not have access to it.", 404,
                 code="model_not_found")
