# SPDX-License-Identifier: GPL-3.0-or-later
# A thin cover over meson, for people who type make.
#
#   make quickstart   install what is missing, build, run the example
#   make test         the same set-up, then every test that is not marked long; test-long: those too
#   make              build, into build/
#   make install      PREFIX=/usr/local DESTDIR=      make uninstall, dist, clean
#   make check asan tidy bench test-cgroup test-agents moto

BUILD  ?= build
PREFIX ?= /usr/local
DESTDIR ?=
export DESTDIR
# A warning of a compiler we have not met must not keep anybody from building.
WERROR ?= $(if $(CI),true,false)
# Without cmocka there are no unit tests: told in a line, a failure where nobody would read it.
UNIT    = $(if $(CI),enabled,auto)
# The distribution's Python is the one that has the distribution's pytest.
PYTHON ?= $(shell command -v /usr/bin/python3 || echo python3)
PYTEST  = $(PYTHON) -m pytest -q -p no:cacheprovider
# Tests wait about as much as they work: one process more than there are cores. Each takes whole files.
JOBS   ?= $(shell expr $$(nproc) + 1)
TESTS   = not long
SUITE   = $(PYTEST) -n $(JOBS) --dist loadfile tests/functional
VERSION = $(shell sed -n "s/^ *version: '\(.*\)',/\1/p" meson.build)
export PYTHONDONTWRITEBYTECODE = 1

# Says nothing when nothing is to be done; one moving line on a terminal, none elsewhere.
all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) -n 2>/dev/null | grep -q 'no work to do' || { \
		echo "building in $(BUILD)/"; test -t 1 || quiet=--quiet; ninja -C $(BUILD) $$quiet; }

$(BUILD)/build.ninja:
	@tools/setup --check build
	@meson setup $(BUILD) -Dwerror=$(WERROR) -Dunit_tests=$(UNIT) >$(BUILD).log 2>&1 || { cat $(BUILD).log; rm -f $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log

quickstart:
	@tools/check-kernel
	@tools/setup build run
	@$(MAKE) --no-print-directory all
	@tools/apparmor add rollouts-checkout $(BUILD)/rollouts $(BUILD)/rollouts-trial
	$(strip $(BUILD)/rollouts run examples/hello/hello.toml $(shell tools/check-kernel run))
	$(strip $(BUILD)/rollouts summarize hello --latest $(shell tools/check-kernel summarize))
	@echo
	@echo "The program is $(BUILD)/rollouts; its first words: $(BUILD)/rollouts help. Next: docs/quickstart.md"

test: setup-test form unit-tests
	@meson test -C $(BUILD) --no-rebuild --print-errorlogs
	@ROLLOUTS_BUILD=$(BUILD) $(SUITE) -m "$(TESTS)"

# With what is marked long: more of the same, for a night.
test-long: TESTS = not none
test-long: setup-long test

setup-long:
	@tools/setup accounting || echo "test: there is no accounting for Slurm here: its tests are left out (tools/setup accounting)"

# All eight coding agents, for real: 2 GB through npm and from the Python index the first time, a minute afterwards. `make test` takes three.
test-agents: setup-test
	@tools/setup agents
	@ROLLOUTS_TEST_AGENTS=all ROLLOUTS_BUILD=$(BUILD) $(PYTEST) tests/functional/test_real_agents.py tests/functional/test_real_sessions.py

# A fake of AWS, for a second opinion on our own: through pip, once.
moto:
	@tools/moto

setup-test:
	@tools/setup build run test engine
	@tools/setup slurm || echo "test: there is no Slurm here: its tests are left out (tools/setup slurm)"
	@test -e "$${ROLLOUTS_TEST_CACHE:-$$HOME/.cache/rollouts-tests}/moto" || \
		echo "test: moto is not there: a second opinion on the tests' own AWS is left out (make moto)"
	@$(MAKE) --no-print-directory all
	@tools/apparmor add rollouts-checkout $(BUILD)/rollouts $(BUILD)/rollouts-trial

# A build folder made before cmocka was installed knows no unit tests until it is configured again.
unit-tests: setup-test
	@grep -q unit/test- $(BUILD)/build.ninja || \
		said=$$(meson setup --reconfigure $(BUILD) -Dunit_tests=$(UNIT)) || { echo "$$said"; exit 1; }
	@$(MAKE) --no-print-directory all
	@grep -q unit/test- $(BUILD)/build.ninja || \
		echo "test: there is no cmocka here: the unit tests are left out (tools/setup test)"

# What needs no test: the shape of the code, its form, and what clang-tidy says of the files that changed.
check: form all
	@$(PYTHON) tools/check-circles $(BUILD)
	@tools/tidy $(BUILD) --changed

form:
	@$(PYTHON) tools/check-layers
	@tools/check-format

asan-build:
	@tools/setup build run test
	@test -e build-asan/build.ninja || meson setup build-asan -Db_sanitize=address,undefined \
		-Db_lundef=false -Dbuildtype=debug -Dunit_tests=$(UNIT) >/dev/null
	@ninja -C build-asan --quiet

asan-unit: asan-build
	@meson test -C build-asan --no-rebuild --print-errorlogs

ASAN = ROLLOUTS_BUILD=build-asan UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ASAN_OPTIONS=detect_leaks=1:abort_on_error=0

asan: asan-unit
	@$(ASAN) $(SUITE)

# Of it what is about launchers, whose programs no unit test starts, and about work that travels: half an hour, one test after the other.
asan-functional: asan-build
	@$(ASAN) $(PYTEST) -m "$(TESTS)" $(addprefix tests/functional/test_,$(addsuffix .py,aws_account aws_batch aws_faults \
		aws_many aws_reasons launchers launchers_apart launchers_killed launcher_models node slurm ssh pack merge regrade compare))

tidy:
	@tools/setup build run tidy
	@$(MAKE) --no-print-directory all
	@tools/tidy $(BUILD)

# Limits held by cgroups, in a virtual machine: it needs no rights here, but a kernel from the network.
test-cgroup:
	@tools/setup build run vm
	@$(MAKE) --no-print-directory all
	@tests/vm/test-cgroup $(BUILD)

bench: all
	@tools/setup engine bench
	@$(PYTHON) bench/run --build $(BUILD)
	@$(PYTHON) bench/gateway --build $(BUILD)
	@$(PYTHON) bench/docker --build $(BUILD)

install: all
	@d="$$DESTDIR$(PREFIX)"; until [ -e "$$d" ]; do d=$$(dirname "$$d"); done; [ -w "$$d" ] || { \
		echo "install: $$d cannot be written: sudo make install, or make install PREFIX=\$$HOME/.local" >&2; exit 3; }
	@meson configure $(BUILD) "-Dprefix=$(PREFIX)" && ninja -C $(BUILD) --quiet >/dev/null
	@DESTDIR="$${DESTDIR:+$$(realpath -m -- "$$DESTDIR")}" meson install --no-rebuild -C $(BUILD) --quiet
	@test -n "$$DESTDIR" || tools/apparmor add rollouts "$(PREFIX)/bin/rollouts" \
		"$(PREFIX)/libexec/rollouts/rollouts-trial"

uninstall:
	@tools/uninstall "$(PREFIX)" "$$DESTDIR"
	@test -n "$$DESTDIR" || tools/apparmor remove rollouts "$(PREFIX)/bin/rollouts" \
		"$(PREFIX)/libexec/rollouts/rollouts-trial"

dist:
	git archive --prefix=rollouts-$(VERSION)/ -o rollouts-$(VERSION).tar.gz HEAD

clean:
	rm -rf $(BUILD) build-asan

.PHONY: all moto quickstart test test-long test-agents setup-test setup-long unit-tests check form asan asan-build asan-unit asan-functional tidy test-cgroup bench install uninstall dist clean
