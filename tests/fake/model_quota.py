# SPDX-License-Identifier: GPL-3.0-or-later
"""How providers say that an account is spent, and how that there are too many requests at the moment: status, headers, body."""
from model_dialects import Refusal


def openai(message, kind, code=None):
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def anthropic(kind, message, **more):
    return {"type": "error", "error": {"type": kind, "message": message, **more}, "request_id": "req_fake"}


def google(message, *details):
    return {"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": list(details)}}


def quota(name):
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [{"quotaMetric": "generativelanguage.googleapis.com/generate_requests", "quotaId": name}]}


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"}
PLAN = "You exceeded your current quota, please check your plan and billing details."

SPENT = {
    "openai": (429, {}, openai(PLAN, "insufficient_quota", "insufficient_quota")),
    "anthropic": (402, {}, anthropic("billing_error", "Your organization has no credits left.")),
    "anthropic-balance": (400, {}, anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic "
                                             "API. Please go to Plans & Billing to upgrade or purchase credits.")),
    "anthropic-cap": (429, {}, anthropic("rate_limit_error", "Your organization has reached its spend limit.",
                                         details={"error_code": "enforced_spend_limit_reached"})),
    "google": (429, {}, google(PLAN, quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier"))),
    "google-prepaid": (429, {}, google("Your prepayment credits are depleted. Please go to AI Studio to manage your project "
                                       "and billing.")),
    "deepseek": (402, {}, openai("Insufficient Balance", "unknown_error", "invalid_request_error")),
    "openrouter": (402, {}, {"error": {"code": 402, "message": "Insufficient credits. Add more using the credits page."}}),
    "zai": (429, {}, {"error": {"code": "1113", "message": "Insufficient balance or no resource package. Please recharge."}}),
    "zai-plan": (429, {}, {"error": {"code": "1308", "message": "Usage limit reached for 5 hour. Your limit will reset at "
                                     "2026-12-01 03:00:00"}}),
    "moonshot": (429, {}, {"error": {"type": "exceeded_current_quota_error", "message": "Your account is suspended, please "
                                     "check your plan and billing details"}}),
    "xai": (403, {}, {"code": "The caller does not have permission to execute the specified operation",
                      "error": "Your team has either used all available credits or reached its monthly spending limit."}),
}
BUSY = {
    "openai": (429, {"Retry-After": 0.1}, openai("Rate limit reached for gpt-fake on tokens per min (TPM): Limit 30000, Used "
                                                 "29000, Requested 2000. Please try again in 0.1s.", "tokens", "rate_limit_exceeded")),
    "anthropic": (429, {"Retry-After": 0.1}, anthropic("rate_limit_error", "This request would exceed your organization's rate "
                                                       "limit of 30,000 input tokens per minute.")),
    "google": (429, {}, google(PLAN + " Please retry in 0.1s.", quota("GenerateRequestsPerMinutePerProjectPerModel"), RETRY)),
    "zai": (429, {}, {"error": {"code": "1302", "message": "Rate limit reached for requests"}}),
    "moonshot": (429, {}, {"error": {"type": "rate_limit_reached_error", "message": "Your account request reached max organization "
                                     "RPM: 3, please try again after 1 seconds"}}),
    "bedrock": (429, {}, {"message": "Too many tokens, please wait before trying again."}),
    "xai": (429, {}, {"code": "Some resource has been exhausted", "error": "Too many requests for team. Your rate limit is 8 "
                      "requests per second."}),
}


def refusal(do):
    status, headers, body = SPENT[do["spent"]] if "spent" in do else BUSY[do["busy"]]
    return Refusal(status, body, list(headers.items()))
