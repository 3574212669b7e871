"""Frameworks, existing code and environments of other systems on an episode.

Every adapter ends in ``Episode.sample``, so budgets, at-most-once turns and isolation hold for all of
them. Nothing here is imported by the library itself, and none of the packages they need is in the base
layer: put them into ``environments/requirements.txt``.

========================  ==========================================================
``transport``             what an ``httpx`` or ``httpx2`` client sends, carried, sync and async
``loopback``              a server for any client; ``episode.base_url()``
``openai``                OpenAI clients; ``episode.openai()`` (``openai``, 2 or 3)
``strands``               a Strands model (``strands-agents[openai]``)
``langchain``             a LangChain chat model (``langchain-openai``)
``openai_agents``         a model of the OpenAI Agents SDK (``openai-agents``)
``mcp``                   tools of a Model Context Protocol server (``mcp``)
``existing``              functions and servers written for the reference SDK
``gymnasium``             what has ``reset`` and ``step`` (``gymnasium``, or a game of yours)
``textarena``             games of TextArena (``textarena``)
``skyrl_gym``             environments of SkyRL-Gym (``skyrl-gym``)
``verifiers``             tasksets of verifiers (``verifiers``)
``openenv``               OpenEnv servers (``websockets``)
``nemo_gym``              NeMo Gym resources servers
``reasoning_gym``         generators and mixtures of reasoning-gym (``reasoning-gym``)
========================  ==========================================================
"""
