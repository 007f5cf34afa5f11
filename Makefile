# Each target prepares what it needs (tools/bootstrap: Debian packages, .venv) and then does one thing.  `make help` lists them.

VENV := .venv/bin
PYTEST := $(VENV)/python -m pytest
ARGS ?=
MEASURED := activities api cli clouds config guest_agent guests logs messaging migrations models security telemetry worker workflows
export TESTBED_DIR ?= /var/tmp/openstack-testbed
# Up, the command, down again whatever became of it.
define ON_TESTBED
	@testbed/up
	@status=0; COFFER_TESTBED_CLOUDS=$(TESTBED_DIR)/clouds.yaml $(1) || status=$$?; testbed/down --reset; exit $$status
endef

ON_OPENSTACK_SHORT := $(PYTEST) -n 0 -m "openstack and short" tests/e2e tests/durability/test_openstack.py tests/contract/clouds

.DEFAULT_GOAL := help
.PHONY: help bootstrap bootstrap-dev bootstrap-image demo smoke test coverage lint durability bench docs testbed-up testbed-down e2e-openstack e2e-openstack-short test-image image-qemu durability-openstack names-openstack clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

bootstrap:
	@tools/bootstrap

bootstrap-dev:
	@tools/bootstrap --dev

bootstrap-image:
	@tools/bootstrap --image

demo: bootstrap  ## set everything up, start it, make a real database, run SQL in it, stay up
	@$(VENV)/coffer demo $(ARGS)

smoke: bootstrap  ## create, use, restart, use and delete a database of each kind on free ports; timings
	@$(VENV)/coffer smoke $(ARGS)

test: bootstrap-dev  ## the tests of every push (ARGS: more options for pytest)
	$(PYTEST) -n 2 -m "not slow" $(ARGS)

coverage: override ARGS += $(MEASURED:%=--cov=%) --cov-report=term:skip-covered
coverage: test  ## the same, and what of the code they do not reach

lint: bootstrap-dev  ## ruff, mypy --strict, import rules
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/lint-imports

durability: bootstrap-dev  ## the whole fault matrix: every workflow, every fault point (minutes)
	$(PYTEST) -n 2 -m durability tests/durability --timeout 600 $(ARGS)

bench: bootstrap-dev  ## measure against the promised ratios
	$(VENV)/python -m benchmarks $(ARGS)

docs: bootstrap-dev  ## write the generated samples anew: etc/coffer.conf, etc/policy.yaml.sample
	$(VENV)/oslo-config-generator --namespace coffer --namespace coffer.keystone --output-file etc/coffer.conf
	$(VENV)/oslopolicy-sample-generator --namespace coffer --output-file etc/policy.yaml.sample

testbed-up:  ## a small real OpenStack on this machine (testbed/README.md; TESTBED_DIR, TESTBED_PORT_BASE)
	@testbed/up

testbed-down:  ## stop it and forget what is in it (ARGS=--purge: its software too)
	@testbed/down $(or $(ARGS),--reset)

e2e-openstack: export TESTBED_DNS = 1
e2e-openstack: bootstrap-dev  ## databases of each kind on the testbed, and the driver's contract (brings it up and down; about 15 minutes)
	$(call ON_TESTBED,$(PYTEST) -n 0 -m "openstack and not slow" tests/e2e tests/contract/clouds $(ARGS))

e2e-openstack-short: bootstrap-dev  ## what every push runs of it: a whole life, a failed create, a lost answer, the heart of the contract (4 minutes)
	$(call ON_TESTBED,$(ON_OPENSTACK_SHORT) $(ARGS))

test-image: bootstrap-image  ## images of all engines: built, their contents listed, booted in namespaces and as an emulated machine (minutes)
	$(PYTEST) -n 0 -m slow tests/e2e/test_image.py $(ARGS)

image-qemu: export TESTBED_VIRT = libvirt
image-qemu: bootstrap-image  ## an image is built, boots an emulated machine through Nova, and MariaDB in it serves (the testbed afresh; 5 to 20 minutes)
	$(call ON_TESTBED,$(PYTEST) -n 0 --durations=0 -m "openstack and slow" tests/e2e/test_openstack_image.py $(ARGS))

durability-openstack: bootstrap-dev  ## the fault matrix of InstanceCreate and InstanceDelete on the testbed (a quarter of an hour)
	$(call ON_TESTBED,COFFER_DURABILITY_CLOUD=openstack $(PYTEST) -n 2 -m "durability or openstack" tests/durability/test_matrix.py tests/durability/test_openstack.py -k "InstanceCreate or InstanceDelete or openstack" --timeout 600 $(ARGS))

names-openstack: export TESTBED_DNS = 1
names-openstack: bootstrap-dev  ## names in DNS on the testbed, with Designate and a real nameserver (afresh; a quarter of an hour)
	$(call ON_TESTBED,$(PYTEST) -n 0 -m "openstack and not slow" tests/contract/clouds/test_names.py tests/durability/test_openstack_names.py tests/e2e/test_names_openstack.py --timeout 900 $(ARGS))

clean:  ## remove what was built here, .venv too (databases and state directories stay)
	rm -rf .venv build dist *.egg-info .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
