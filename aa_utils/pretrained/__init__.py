"""The one door for models that others trained: what comes through it is whole, or one sentence says what is missing.

`weight_files` and `file_kinds` look at files without torch, within a second. `whole` loads models, `vocabulary` loads tokenizers and `clip`
a CLIP with both of its sides; `one_file` turns a one-file checkpoint into a folder. No other module calls `from_pretrained`, apart from the
pipeline class of `aa_utils.generate.pipeline`, which is handed parts that came through here.
"""
