# `make` lists the targets. GNU make itself ends with 2 when anything fails: the verdict's own
# exit code (0 PROMOTE, 1 HOLD, 6 UNDECIDED) is in its last line, `Error N`, and in verdict.json.

PYTHON = .venv/bin/python
SOURCES = $(wildcard conftest.py compose contracts gate load reports tests)
LOCK_TOOL = .venv/lock/bin/uv
LOCK = $(CURDIR)/$(LOCK_TOOL) pip compile --quiet --generate-hashes --universal \
	--no-emit-index-url --no-header $(UPGRADE)

PARTS = lint types unit operators-cheap bot-tests page-tests stages fault-tests

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL = help
.PHONY: deploy update rollback backup restore status start stop adopt drill lifecycle help gate smoke contract contract-accept contract-deep bench-contract test lint types unit bot-tests page-tests stages fault-tests faults bench-smoke repeat \
	format lock env manifest report clean venv venv-gate venv-production machine
.PHONY: findings calm operators operators-cheap

# $(call part,NAME,COMMAND): run it, and say in one line how it ended and how long it took.
define part
@started=$$(date +%s); code=0; { $(2); } || code=$$?; \
if [ $$code = 0 ]; then end=passed; else end="FAILED with code $$code"; fi; \
echo "== $(1): $$end, $$(( $$(date +%s) - started )) s"; exit $$code
endef

# $(call image_tests,FOLDER): build the image's test stage; its output is shown when it fails.
define image_tests
log=$$(mktemp); DOCKER_BUILDKIT=1 timeout 900 docker build --progress plain --target test \
--output type=cacheonly compose/$(1) >$$log 2>&1 || { code=$$?; tail -n 60 $$log; rm $$log; \
( exit $$code ); } && rm -f $$log
endef

# $(call lock,FOLDER,PYTHON): lock its requirements, and its tests' on top of them.
define lock
@cd $(1) && $(LOCK) --python-version $(2) requirements.in -o requirements.txt
@cd $(1) && { [ ! -f requirements-test.in ] || $(LOCK) --python-version $(2) -c requirements.txt \
	requirements-test.in -o requirements-test.txt; }
endef

help:
	@awk -F ':.*## ' '/^[a-z -]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

gate: venv-gate machine ## full stack, all stages, report; fails unless the verdict is PROMOTE
	@$(PYTHON) -m pytest

smoke: venv-gate machine ## the smoke stage on a disposable stack
	@$(PYTHON) -m pytest -m smoke

lifecycle: venv-gate machine ## the lifecycle stage, on disposable stacks of its own
	@$(PYTHON) -m pytest -m lifecycle

contract: venv-gate machine ## the contract stage on a disposable stack
	@$(PYTHON) -m pytest -m contract

deploy update rollback backup restore status start stop adopt: venv-production machine ## the deployment of this machine (ARGS="…"; compose/*.sh are the same)
	@$(PYTHON) -m compose.lifecycle $@ $(ARGS)

drill: venv-gate machine ## measure updates under traffic, into reports/bench
	@$(PYTHON) -m tests.bench.drill

contract-deep: venv-gate machine ## explore the contract for MINUTES (30), with a seed of its own
	@GATE_CONTRACT_MINUTES=$(or $(MINUTES),30) GATE_CONTRACT_SEED=$$(date +%s) \
		$(PYTHON) -m pytest -m contract

contract-accept: venv-gate machine ## agree on the API as this tree serves it (or FROM=file or URL)
	@$(PYTHON) -m contracts $(FROM)

test: ## the project's own tests, cheapest first
	+$(call part,$@,( for part in $(PARTS); do $(MAKE) $$part || exit 1; done ))

lint: venv ## style and format
	$(call part,$@,.venv/bin/ruff check --quiet . && .venv/bin/ruff format --quiet --check .)

types: venv ## types of the suite, strict (the services' are checked in their images)
	$(call part,$@,.venv/bin/mypy --no-error-summary --exclude '^compose/(api|exchange)/' $(SOURCES))

unit: venv machine ## tests of the suite's own code
	$(call part,$@,$(PYTHON) -m pytest -q tests/unit)

operators: venv-gate machine ## use the gate as operators do, a row a situation: make operators [ROWS="cron umask"]
	@$(PYTHON) -m tests.operators $(ROWS)

# A row that is not to be had on this machine (6) is listed, and ends no `make test`.
operators-cheap: venv-gate machine ## the half of it that starts no container, in a minute
	$(call part,$@,$(PYTHON) -m tests.operators --cheap || [ $$? = 6 ])

bot-tests: venv machine ## the bot's and the exchange's own tests, in their images
	$(call part,bot-tests: api,$(call image_tests,api))
	$(call part,bot-tests: exchange,$(call image_tests,exchange))

page-tests: venv machine ## the page's own tests, in its image
	$(call part,$@,$(call image_tests,frontend))

stages: venv-gate machine ## every stage on one disposable stack
	$(call part,$@,$(PYTHON) -m pytest -q)

fault-tests: venv-gate machine ## planted faults turn their checks red
	$(call part,$@,$(PYTHON) -m pytest -q tests/faults)

faults: venv-gate machine ## plant faults, see which are caught: make faults [FAULTS=DIR] [STAGE=ui] [AGAIN=1] [JOBS=2] [QUICK=1]
	@$(PYTHON) -m tests.faults.matrix $(if $(FAULTS),--faults $(FAULTS)) $(if $(STAGE),--stage $(STAGE)) $(if $(AGAIN),--again) $(if $(JOBS),--jobs $(JOBS)) $(if $(QUICK),--quick)

calm: venv-gate machine ## count false alarms on healthy stacks: make calm [N=30] [AGAIN=1] [KIND=contended] [STAGES=smoke]
	@$(PYTHON) -m tests.bench.healthy_runs --runs $(or $(N),30) $(if $(AGAIN),--again) $(if $(KIND),--kind $(KIND)) $(if $(STAGES),--stages "$(STAGES)")

.PHONY: bench-health soak
bench-health: venv-gate machine ## measure health while the engine trades, into reports/bench
	@$(PYTHON) -m tests.bench.health

soak: venv-gate machine ## a week of paper trading in ten minutes, into reports/bench
	@$(PYTHON) -m tests.bench.soak

.PHONY: load
load: venv-gate machine ## a minute of load on a disposable stack, held to load/slo.toml: make load [WORKERS=2]
	@$(PYTHON) -m pytest -m load $(if $(WORKERS),--load-workers=$(WORKERS))

.PHONY: nightly
nightly: venv-gate machine ## twenty minutes of load, then the trend of all nights: make nightly [PROFILE=nightly]
	@$(PYTHON) -m pytest -m load --load-profile=$(or $(PROFILE),nightly); code=$$?; $(PYTHON) -m load trend; exit $$code

.PHONY: bench-load
bench-load: venv-gate machine ## measure the load generator against others, into reports/bench (12 minutes)
	@$(PYTHON) -m tests.bench.load

bench-judge: venv-gate machine ## measure the load judge, into reports/bench
	@$(PYTHON) -m tests.bench.judge

bench-smoke: venv-gate machine ## measure the smoke stage, into reports/bench
	@$(PYTHON) -m tests.bench.smoke

repeat: venv-gate machine ## a stage many times in a row: make repeat [N=10] [STAGE=control]
	@$(PYTHON) -m tests.bench.repeat $(or $(STAGE),control) $(or $(N),10)

bench-contract: venv-gate machine ## measure the contract stage against schemathesis run (an hour)
	@$(PYTHON) -m tests.bench.contract

format: venv ## put the code in its format
	@.venv/bin/ruff check --quiet --fix . ; .venv/bin/ruff format .

lock: venv $(LOCK_TOOL) ## lock requirements/ and every requirements.in with hashes (UPGRADE=--upgrade for newer ones)
	@cd requirements && $(LOCK) --python-version 3.11 development.in -o development.txt
	@cd requirements && for layer in gate production; do \
		$(LOCK) --python-version 3.11 -c development.txt $$layer.in -o $$layer.txt || exit 1; done
	$(call lock,compose/api,3.13)
	$(call lock,compose/exchange,3.13)
	$(call lock,load,3.13)

env: venv-production ## compose/.env with new secrets, when there is none
	@$(PYTHON) -m compose.machine.secrets

manifest: venv-gate findings ## compose/gate.yaml from stack.toml, tests/manifest.toml and docs/findings.md from the checks
	@$(PYTHON) -m gate.model
	@$(PYTHON) -m gate.manifest

findings: venv-gate ## docs/findings.md: what each finding means, from the checks themselves
	@$(PYTHON) -m gate.findings

report: venv-production ## write a run's reports again: make report RUN=reports/runs/ID
	@$(PYTHON) -m reports $(RUN)

clean: venv-production ## remove what runs left behind, and caches
	@$(PYTHON) -m gate.sweep --all
	@rm -rf .mypy_cache .ruff_cache .pytest_cache
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

venv:
	@sh compose/machine/venv.sh development

venv-gate:
	@sh compose/machine/venv.sh gate

venv-production:
	@sh compose/machine/venv.sh production

machine: venv-production
	@$(PYTHON) -m compose.machine

$(LOCK_TOOL):
	@$(PYTHON) -m venv .venv/lock && .venv/lock/bin/python -m pip install -qq uv
