"""Content that tries to break out of a page, and the rollouts that hold it."""

from __future__ import annotations

from devkit.emulator.job_runtime import SampleRequest
from devkit.rehearsal.play import play_groups
from environments.calculator import scripts as calculator

ROW = {"question": "What is 2 + 3?", "answer": "<<2+3=5>>\n#### 5"}
HOSTILE = (
    "<script>alert('script')</script></pre></script><img src=x onerror=alert('img')>"
    "<a href=\"javascript:alert('link')\">x</a><svg onload=alert('svg')></svg>{{ 7*7 }}"
    "<iframe srcdoc=\"<script>alert('frame')</script>\"></iframe><style>body{display:none}</style>"
    "\u202egnp.exe\u202c \x1b[31mred\x1b[0m \x00 \u2028'\"><base href=https://example.com/>"
)


def policy(asked: SampleRequest):
    """Good, poor and hostile by the trajectory id."""
    if "hostile" in asked.trajectory_id:
        content = HOSTILE + "long " * 40_000
        if asked.turn == 0:
            function = {"name": f"evaluate{HOSTILE}", "arguments": HOSTILE}
            call = {"id": HOSTILE, "type": "function", "function": function}
            return {"content": content, "reasoning_content": HOSTILE, "tool_calls": [call]}
        return {"content": f"#### 5 {content}"}
    script = calculator.poor if asked.trajectory_id.endswith("1") else calculator.gold
    return script(asked.instance, asked.messages)


def play(stack, *names, row=ROW, members=2):
    """Play a group of rollouts for each name."""
    return [played for name in names for played in play_groups(stack, [row], members, run=name)]
