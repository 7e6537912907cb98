"""Asking a server that speaks OpenAI's protocol, wherever it runs: prompts from language models, images from image models.

`address`: where it is, and by which way; `key`: the key, from the environment alone; `wire`: HTTP with bounds on bytes and time;
`server`: one question asked until it is answered or it is clear that it will not be.
"""
