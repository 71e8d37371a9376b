# make demo: set up, draw scenes, train, evaluate, predict.   make test: the tests.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
DEMO := demo
RUN := $(DEMO)/runs/demo

.PHONY: demo test test-newest lint format bench clean-demo

demo: $(DEMO)/overlays
	@echo
	@echo "Done. Look at:"
	@echo "  $(RUN)/evaluation/scenes-val/report/index.html   the report, in a browser"
	@echo "  $(RUN)/evaluation/scenes-val/metrics.json        its numbers"
	@echo "  $(RUN)/curves.png                                loss and mIoU by epoch"
	@echo "  $(DEMO)/overlays/overlays                          held-out scenes, segmented"
	@echo "Then activate the environment:"
	@echo "  source .venv/bin/activate"
	@echo "and try:"
	@echo "  dashseg predict $(RUN) YOUR_FRAME.png --out seen"
	@echo "  dashseg train --recipe comma10k-half --data PATH_TO_COMMA10K"
	@echo "  dashseg train --recipe demo --data synthetic:500 --set training.epochs=20 --name longer"

# Half of comma10k's size: the network sees 192x256, and drawing takes 40 % of the time.
$(DEMO)/scenes: | $(INSTALLED)
	$(BIN)/dashseg data synth $@ --n 300 --seed 7 --size 437x582

# A training that was stopped, also during its evaluation, is resumed.
$(RUN)/evaluation/scenes-val: | $(DEMO)/scenes
	@if [ -f $(RUN)/checkpoints/last.ckpt ]; then \
	  set -x; $(BIN)/dashseg train --resume $(RUN); \
	else \
	  rm -rf $(RUN); set -x; \
	  $(BIN)/dashseg train --recipe demo --data $(DEMO)/scenes --runs $(DEMO)/runs; \
	fi

$(DEMO)/overlays: | $(RUN)/evaluation/scenes-val
	$(BIN)/dashseg predict $(RUN) "$(DEMO)/scenes/imgs/*9.png" --out $@ --overwrite

clean-demo:
	rm -rf $(DEMO)

# One thread a process: as many processes as cores already fill the machine. Each takes tests that
# stand together, and later the half of another's: few modules are set up twice. Compiled files are
# written, also where the environment forbids it: the tests start hundreds of programs.
PYTEST := -m pytest -n auto --maxprocesses 8 --dist worksteal
TESTS := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=
test: $(INSTALLED)
	$(TESTS) $(BIN)/python $(PYTEST)

# The newest versions that pyproject.toml allows, in an environment of their own (about 6 GB). PyTorch
# and torchvision come first, as a pair that fits.
NEWEST_TORCH ?= torch==2.14.1 torchvision==0.29.1
test-newest:
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python -m pip install --quiet $(NEWEST_TORCH)
	.venv-newest/bin/python -m pip install --quiet --editable '.[dev,timm]'
	$(TESTS) .venv-newest/bin/python $(PYTEST)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)
	$(BIN)/python benchmarks/mask_decoding.py
	$(BIN)/python benchmarks/augmentation.py
	$(BIN)/python benchmarks/data_verbs.py
	$(BIN)/python benchmarks/packs.py
	$(BIN)/python benchmarks/labels.py
	$(BIN)/python benchmarks/loss_memory.py
	$(BIN)/python benchmarks/train_throughput.py

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dashseg needs Python 3.11 or later")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
# timm imports torchvision. PyPI's does not load beside PyTorch's CPU build, and Lightning would fail on
# it too, so it lies in a folder where only the tests of timm's encoders find it.
	$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt timm
	$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt --target .venv/torchvision --upgrade torchvision
	@touch $@
