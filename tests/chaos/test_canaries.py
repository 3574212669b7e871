"""A thousand rollouts interleave on warm workers, inline and durable; none sees another's canary."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import re

import httpx

from devkit.emulator.stack import JOB_ARN, EmulatedStack
from environments.calculator import scripts as calculator
from rollout.aws import clients

INLINE, DURABLE = 850, 150
IN_FLIGHT = 24  # as many as moto answers before storage counts as silent


async def slow_gold(asked):
    """The right answer after a while, so that turns of many rollouts interleave."""
    await asyncio.sleep(random.uniform(0.0, 0.05))
    return calculator.gold(asked.instance, asked.messages)


def canary_of(number):
    return f"canary-{number:04d}"


async def play_all(stack):
    """Post every rollout; return what each was answered, or its state where it was accepted only."""
    room = asyncio.Semaphore(IN_FLIGHT)
    limits = httpx.Limits(max_connections=2 * IN_FLIGHT)
    async with httpx.AsyncClient(timeout=120, limits=limits) as http:

        async def one(number):
            canary = canary_of(number)
            row = {
                "question": f"{canary}: what is {number} + 1?",
                "answer": f"<<{number}+1={number + 1}>>\n#### {number + 1}",
            }
            body = stack.request(canary, row)
            headers = {"Prefer": "respond-async"} if number >= INLINE else {}
            async with room:
                answer = await http.post(f"{stack.url}/rollout", json=body, headers=headers)
            while number >= INLINE:
                await asyncio.sleep(0.5)
                url = f"{stack.url}/rollouts/{canary}"
                answer = await http.get(url, params={"job_arn": JOB_ARN})
                if answer.status_code != 503 and answer.json()["state"] in ("ready", "failed"):
                    break
            return answer.text

        order = list(range(INLINE + DURABLE))
        random.Random(7).shuffle(order)
        texts = await asyncio.gather(*[one(number) for number in order])
        return dict(zip(order, texts, strict=True))


def foreign(text, canary):
    """Canaries in a text that are not its own."""
    return set(re.findall(r"canary-\d{4}", text)) - {canary}


def test_none_of_a_thousand_sees_another(tmp_path):
    with EmulatedStack(slow_gold, durable=tmp_path) as stack:
        answers = asyncio.run(play_all(stack))
        assert len(answers) == INLINE + DURABLE
        seen = {"headers": 0, "body": 0, "record": 0}
        dynamodb = clients.client("dynamodb", "us-west-2")
        bucket = clients.client("s3", "us-west-2")
        for number, text in answers.items():
            canary = canary_of(number)
            answer = json.loads(text)
            result = answer.get("result", answer)
            assert result["output"] == {"answer": str(number + 1)}, text
            trajectory = stack.simulator.trajectory(JOB_ARN, canary)
            assert trajectory.state == "rewarded"
            assert len(trajectory.turns) == 2
            for turn in trajectory.turns:
                assert canary in json.dumps(turn.request)
                seen["headers"] += bool(foreign(json.dumps(turn.headers), canary))
                seen["body"] += bool(foreign(json.dumps(turn.request), canary))
            seen["body"] += bool(foreign(text, canary))
            key = {"pk": {"S": f"rollout#{JOB_ARN}#{canary}"}, "sk": {"S": "rollout"}}
            row = dynamodb.get_item(TableName=stack.table, Key=key)["Item"]
            kept = bucket.get_object(Bucket=stack.bucket, Key=row["content"]["S"])["Body"].read()
            record = json.dumps(row) + gzip.decompress(kept).decode()
            assert canary in record
            seen["record"] += bool(foreign(record, canary))
    assert seen == {"headers": 0, "body": 0, "record": 0}
