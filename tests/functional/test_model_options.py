# SPDX-License-Identifier: GPL-3.0-or-later
"""[tasks.model_options]: each in its dialect's own field, in the result, in what tells trials apart; refused where it cannot
be sent."""
import json

import pytest

from models import fake, provided, scripted  # noqa: F401 (fixtures)

TURNS = scripted(turns=[{"text": "Done."}])
# What a request says of the options below.
SENT = {
    "responses": ({"effort": "high", "max_output_tokens": 9000, "temperature": 0.5, "top_p": 0.9},
                  {"reasoning": {"effort": "high"}, "max_output_tokens": 9000, "temperature": 0.5, "top_p": 0.9}),
    "chat": ({"effort": "high", "thinking": "enabled", "seed": 7, "max_output_tokens": 9000, "temperature": 0.0, "top_p": 0.9},
             {"reasoning_effort": "high", "seed": 7, "max_tokens": 9000, "temperature": 0, "top_p": 0.9,
              "thinking": {"type": "enabled"}}),
    "anthropic": ({"effort": "xhigh", "thinking": "adaptive", "max_output_tokens": 9000},
                  {"output_config": {"effort": "xhigh"}, "thinking": {"type": "adaptive"}, "max_tokens": 9000}),
    "gemini": ({"effort": "low", "seed": 7, "max_output_tokens": 9000, "temperature": 0.5, "top_p": 0.9},
               {"generationConfig": {"thinkingConfig": {"thinkingLevel": "low"}, "seed": 7, "maxOutputTokens": 9000,
                                     "temperature": 0.5, "topP": 0.9}}),
}


@pytest.mark.parametrize("api", SENT)
def test_each_is_sent_in_its_own_field(run_cli, make_task, make_bench, rollout, provided, fake, api):
    options, fields = SENT[api]
    make_bench({"prepared_dir": make_task(instructions=TURNS), "model_options": options}, agent="bash", model="any-fake",
               retries=0)
    run_cli("run", "bench.toml", env=provided([api]), check=0, timeout=300)
    (_, result), = rollout().runs.items()
    assert result["outcome"] == "completed", result["reason"]
    assert result["agent"]["model_options"] == options
    for entry in fake.log():
        doc = json.loads(entry.request.body)
        assert {name: doc.get(name) for name in fields} == fields


def test_thinking_is_a_part_of_the_answer(run_cli, make_task, make_bench, rollout, provided, fake):
    make_bench({"prepared_dir": make_task(instructions=TURNS), "model_options": {"thinking": 90_000}}, agent="bash",
               model="claude-opus-4-5-fake", retries=0)
    run_cli("run", "bench.toml", env=provided(["anthropic"]), check=0, timeout=300)
    doc = json.loads(fake.log()[0].request.body)
    assert doc["thinking"] == {"type": "enabled", "budget_tokens": 90_000} and 90_000 < doc["max_tokens"] <= 128_000


def test_without_any_nothing_is_sent_that_a_provider_may_refuse(run_cli, make_task, make_bench, rollout, provided, fake):
    make_bench(make_task(instructions=TURNS), agent="bash", model="any-fake", retries=0)
    run_cli("run", "bench.toml", env=provided(["anthropic"]), check=0, timeout=300)
    doc = json.loads(fake.log()[0].request.body)
    assert set(doc) <= {"model", "max_tokens", "system", "messages", "tools", "stream"}
    (_, result), = rollout().runs.items()
    assert "model_options" not in result["agent"]


def test_they_tell_trials_apart_and_a_rollout_grows_by_them(run_cli, make_task, make_bench, rollout, provided, fake):
    task = make_task(instructions=TURNS)
    env = provided(["anthropic"])
    make_bench({"prepared_dir": task, "model_options": {"effort": "low"}}, {"prepared_dir": task}, agent="bash",
               model="any-fake", retries=0)
    run_cli("run", "bench.toml", env=env, check=0, timeout=300)
    trials = json.loads((rollout().dir / "plan.json").read_text())["trials"]
    assert sorted(t["variant"] for t in trials) == ["effort=low", "no effort"]
    assert len({t["key"] for t in trials}) == 2
    make_bench({"prepared_dir": task, "model_options": {"effort": "low"}},
               {"prepared_dir": task, "model_options": {"effort": "high"}}, {"prepared_dir": task}, agent="bash",
               model="any-fake", retries=0)
    run_cli("resume", "bench", "--config", "bench.toml", env=env, check=0, timeout=300)
    trials = json.loads((rollout().dir / "plan.json").read_text())["trials"]
    assert len(trials) == 3 and trials[2]["model_options"] == {"effort": "high"}
    assert len({t["variant"] for t in trials}) == 3
    assert len(fake.log()) == 3


def test_stronger_places_lay_single_options_over_weaker_ones(run_cli, make_task, make_bench, workdir):
    path = make_bench({"prepared_dir": make_task(), "model_options": {"effort": "low"}}, agent="bash", model="any-fake")
    path.write_text(path.read_text() + '\n[defaults.model_options]\neffort = "max"\ntop_p = 0.5\nthinking = 2048\n'
                    + '[model_options]\ntop_p = 0.1\nseed = 3\n')
    out = run_cli("config", path, check=0).stdout
    for line in ('model_options.effort = "low"', "model_options.top_p = 0.5", "model_options.seed = 3",
                 'model_options.thinking = "2048"'):
        assert line in out, out


@pytest.mark.parametrize("text,words", [
    ('effort = "hard"', 'effort: "hard" is not one of'), ("temperature = 3", "out of range"),
    ('thinking = "much"', "is none of: adaptive"), ("seed = 1.5", "whole number"), ("top = 1", "unknown key"),
    ("tempature = 1", 'did you mean "temperature"')])
def test_mistakes_have_their_place(run_cli, make_task, make_bench, text, words):
    path = make_bench({"prepared_dir": make_task()}, agent="bash", model="any-fake")
    path.write_text(path.read_text() + f"\n[defaults.model_options]\n{text}\n")
    done = run_cli("validate", path, check=2)
    assert words in done.stderr + done.stdout and "bench.toml:" in done.stderr + done.stdout


def test_one_written_beside_the_table_is_led_into_it(run_cli, make_task, make_bench):
    done = run_cli("validate", make_bench({"prepared_dir": make_task(), "effort": "low"}, agent="bash", model="any-fake"),
                   check=2)
    assert '"effort" belongs in [tasks.model_options]' in done.stderr + done.stdout


@pytest.mark.parametrize("api,model,options,words", [
    ("responses", "any-fake", {"seed": 1}, "seed: this API has no field for it"),
    ("anthropic", "any-fake", {"seed": 1}, "seed: this API has no field for it"),
    ("responses", "any-fake", {"thinking": True}, "thinking: this API has no field for it; write effort"),
    ("chat", "any-fake", {"thinking": 4000}, "write effort"),
    ("anthropic", "claude-opus-4-7-fake", {"temperature": 0.0}, "answers 400"),
    ("anthropic", "claude-opus-5-5-fake", {"top_p": 0.5}, "answers 400"),
    ("anthropic", "claude-opus-5-5-fake", {"thinking": 4000}, "wants adaptive"),
    ("anthropic", "claude-haiku-4-5-fake", {"effort": "low"}, "a number of tokens"),
    ("anthropic", "claude-haiku-4-5-fake", {"thinking": 100}, "at least 1024"),
    ("anthropic", "any-fake", {"effort": "minimal"}, "it knows low, medium"),
    ("responses", "gpt-6-sol-fake", {"temperature": 0.0}, 'effort = "none"'),
    ("responses", "gpt-6.2-sol-fake", {"effort": "none"}, "it knows low, medium"),
    ("gemini", "gemini-4-neon-fake", {"thinking": 100}, "wants an effort"),
    ("gemini", "gemini-4-neon-fake", {"effort": "minimal"}, "it knows low, medium")])
def test_what_cannot_be_sent_stops_before_the_first_trial(run_cli, make_task, make_bench, provided, fake, workdir, api,
                                                          model, options, words):
    make_bench({"prepared_dir": make_task(instructions=TURNS), "model_options": options}, agent="bash", model=model)
    done = run_cli("run", "bench.toml", env=provided([api]), check=2)
    assert words in done.stderr and "model_options" in done.stderr and "bench.toml:" in done.stderr
    assert not fake.log() and not (workdir / "data/rollouts/bench").exists()


def test_they_are_the_built_in_agents(run_cli, make_task, make_bench, provided, fake, agent_script):
    agent_script("true", name="mine", needs="model")
    make_bench({"prepared_dir": make_task(), "model_options": {"effort": "low"}}, agent="mine", model="any-fake")
    done = run_cli("run", "bench.toml", env=provided(["chat"]), check=2)
    assert 'model_options are for the built-in agent, "bash"' in done.stderr


def test_what_the_provider_refuses_is_told_and_not_left_out(run_cli, make_task, make_bench, rollout, provided, fake):
    fake.configure(rules=[{"do": {"status": 400, "body": {"error": {"message": "`temperature` is not supported with this model"}}}}])
    make_bench({"prepared_dir": make_task(instructions=TURNS), "model_options": {"temperature": 0.5}}, agent="bash",
               model="any-fake", retries=0)
    run_cli("run", "bench.toml", env=provided(["chat"]), timeout=300)
    (_, result), = rollout().runs.items()
    assert result["outcome"] == "infra_error" and "`temperature` is not supported" in result["reason"]
    assert len(fake.log()) == 1 and "total_score" not in result or result["total_score"] is None


def test_claude_at_vertex(run_cli, make_task, make_bench, provided, fake, workdir):
    """The model is in the path and not in the body, which says the version instead."""
    env = provided(["anthropic"])
    file = workdir / "xdg/rollouts/providers.toml"
    path = "/v1/projects/p/locations/global/publishers/anthropic/models/{model}:{verb}"
    file.write_text(file.read_text().replace(
        "apis =", f'paths = {{ anthropic = "{path}" }}\nauth = "bearer"\nanthropic_version = "vertex-2023-10-16"\napis ='))
    fake.configure(rules=[{"do": {"status": 404}}])
    make_bench(make_task(instructions=TURNS), agent="bash", model="any-fake", retries=0)
    run_cli("run", "bench.toml", env=env, check=3)
    request = fake.log()[0].request
    assert request.target == path.replace("{model}:{verb}", "any-fake:streamRawPredict")
    assert request.header("authorization") == f"Bearer {env['FAKE_API_KEY']}"
    body = json.loads(request.body)
    assert "model" not in body and body["anthropic_version"] == "vertex-2023-10-16" and body["stream"] and body["messages"]


@pytest.mark.parametrize("api,paths,target", [
    ("chat", '{ chat = "/openai/deployments/mine/chat/completions?api-version=2024-10-21" }',
     "/openai/deployments/mine/chat/completions?api-version=2024-10-21"),
    ("gemini", '{ gemini = "/v1/projects/p/locations/global/publishers/google/models/{model}:{verb}" }',
     "/v1/projects/p/locations/global/publishers/google/models/any-fake:streamGenerateContent?alt=sse")])
def test_clouds_are_tables(run_cli, make_task, make_bench, rollout, provided, fake, workdir, api, paths, target):
    """A header of their own for the key, a path of their own with its query."""
    env = provided([api])
    file = workdir / "xdg/rollouts/providers.toml"
    file.write_text(file.read_text().replace(f'apis = ["{api}"]',
                                             f'apis = ["{api}"]\npaths = {paths}\nauth = {{ header = "api-key", value = "<{{key}}>" }}'))
    fake.configure(rules=[{"path": target.split("?")[0], "do": {"status": 404}}])
    make_bench(make_task(instructions=TURNS), agent="bash", model="any-fake", retries=0)
    done = run_cli("run", "bench.toml", env=env)
    assert done.returncode == 3, done.stdout
    request = fake.log()[0].request
    assert request.target == target and request.header("api-key") == f"<{env['FAKE_API_KEY']}>"
    assert not request.header("authorization") and not request.header("x-goog-api-key")
