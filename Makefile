# Every command is `python tools/build.py NAME`; it makes .venv by itself and works the same where there is no make.
PYTHON ?= python3
ZOO = @$(PYTHON) tools/build.py

.DEFAULT_GOAL = help
.PHONY: help book test serve lab student results bench address lock clean

help book test lab student bench lock clean:
	$(ZOO) $@

serve:
	$(ZOO) serve $(if $(PORT),PORT=$(PORT))

results:
	$(ZOO) results $(if $(CHAPTER),CHAPTER=$(CHAPTER)) $(if $(STALE),STALE=$(STALE))

address:
	$(ZOO) address $(if $(URL),URL=$(URL))
