"""Figures of the stages: each is drawn from a small table, and its title says what that table says."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from hare.report import corpus_figures as corpus
from hare.report import decontamination_figures as decontamination
from hare.report import deployment_figures as deployment
from hare.report import finetuning_figures as finetuning
from hare.report import synthesis_figures as synthesis
from hare.report import tokens_figures as tokens
from hare.report import training_figures as training
from hare.report.style import ARM_COLOURS, TABLE_COLOUR, arm_colours, arm_label, part_label


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    yield
    plt.close("all")


def table(columns: str, *rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.split())


def test_an_arm_keeps_its_colour_whatever_stands_beside_it() -> None:
    assert arm_colours(["b", "a"]) == {"a": ARM_COLOURS["a"], "b": ARM_COLOURS["b"]}
    mine = arm_colours(["mine", "a", "unigram"])
    assert list(mine) == ["a", "mine", "unigram"] and mine["unigram"] == TABLE_COLOUR
    assert len(set(mine.values())) == 3
    assert (arm_label("c0"), arm_label("mixed"), part_label("d3_shuffled")) == ("C0", "mixed", "D3 shuffled")


def test_what_survives_is_summed_over_sources() -> None:
    frame = table("source category raw_mb kept_mb", ("a", "web", 3.0, 2.0), ("b", "law", 1.0, 1.0))
    assert "3.0 of 4.0 MB survive,\nfrom 2 sources in 2 categories" in corpus.kept_by_source(frame).get_suptitle()


def test_the_decoy_counts_in_neither_removals_nor_overlap() -> None:
    columns = "block source category documents_in documents_removed"
    removed = table(columns, ("language", "a", "web", 100, 3), ("near_duplicates", "a", "web", 97, 1),
                    ("near_duplicates", "reuters-8", "news", 50, 50))
    title = corpus.removed_by_block(removed).get_suptitle()
    assert "4 documents go" in title and "language: 75 %" in title
    pairs = table("source repeats kind documents", ("a", "b", "exact", 2), ("a", "a", "near", 3),
                  ("reuters-8", "a", "exact", 90))
    assert "2 of 5 duplicates repeat another source" in corpus.overlap(pairs).get_suptitle()


def test_lengths_and_weights_name_the_extremes_and_the_gaps() -> None:
    rows = [(category, when, median / 4, median / 2, median, 2 * median, 4 * median)
            for category, median in (("math", 84.0), ("books", 5000.0)) for when in ("raw", "kept")]
    title = corpus.lengths(table("category when p05 p25 median p75 p95", *rows)).get_suptitle()
    assert "84 words\n(math) to 5,000 (books)" in title
    weights = table("category paper_percent hare_percent", ("web", 60.0, 20.0), ("Academic", 40.0, 0.0))
    assert "60 % of the paper's weight\nhas a counterpart;\nempty: Academic" in corpus.weights(weights).get_suptitle()


def test_many_parts_and_an_arm_that_reads_no_d1_are_drawn() -> None:
    parts = [*(f"d1_without_{number}" for number in range(12)), "d1", "d2", "d3"]
    picture = tokens.draw_composition(table("file source category tokens", *((part, "s", "law", 5) for part in parts)))
    named = [text.get_text() for text in picture.axes[0].get_legend().get_texts()]
    assert named == [f"{part}: 0.00 M tokens" for part in ("D1", "D1, 12 versions", "D2", "D3")]
    rows = [(part, step, part, 1e6 * step) for part in parts for step in (0, 2)]
    picture = tokens.draw_schedule(table("arm step file tokens_read", *rows))
    shown = [axes.get_title() for axes in picture.axes if axes.get_visible()]
    assert len(shown) == len(parts) and shown[0] == "d1 without 0"
    assert picture.get_suptitle() == "All arms read 2.00 M tokens, each in one mix from the first step to the last"


def test_a_version_of_a_part_is_named_after_it() -> None:
    named = [part_label(part) for part in ("d1_without_every_block", "d1_topics_9-seed3", "d2_summary", "other_text")]
    assert named == ["D1, without every block", "D1, topics 9", "D2, summary", "OTHER_TEXT"]
    epochs = table("arm file epochs", ("topics_9", "d1_topics_9-seed0", 0.5), ("tasks_40", "d3", 3.0))
    assert [text.get_text() for text in tokens.draw_epochs(epochs).axes[0].get_yticklabels()] == [
        "tasks 40 · D3", "D1, topics 9"]


def test_of_more_arms_than_colours_the_first_and_the_ends_are_told_apart() -> None:
    rows = [(f"arm_{number}", 1000 * k, 2.0 + abs(number - 7)) for number in range(20) for k in (1, 2)]
    axes = training.heldout_curves(table("arm tokens bits_per_byte", *rows)).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["17 other arms", "arm 0", "arm 7", "arm 19"]
    assert len(axes.get_lines()) == 20
    few = training.heldout_curves(table("arm tokens bits_per_byte", *rows[:24])).axes[0]
    assert not few.collections, "a record without intervals has no band"
    rows = [(*row, row[2] - 0.1, row[2] + 0.1) for row in rows[:24]]
    assert len(training.heldout_curves(table("arm tokens bits_per_byte low high", *rows)).axes[0].collections) == 12
    assert len(few.get_legend().get_texts()) == 12


@pytest.mark.parametrize(("low", "high", "told"), [
    (-0.03, -0.01, "better"), (-0.01, 0.03, "no effect seen"), (0.01, 0.03, "worse"),
])
def test_topics_say_only_what_the_slope_s_interval_leaves(low: float, high: float, told: str) -> None:
    columns = "endpoint topics difference difference_low difference_high slope slope_low slope_high"
    rows = [(endpoint, topics, 0.1 * topics, 0.0, 1.0, (low + high) / 2, low, high)
            for endpoint in ("p", "h1", "n") for topics in (1, 3)]
    picture = training.topics(table(columns, *rows))
    title = picture.get_suptitle().replace("\n", " ")
    assert title == f"More topics at equal tokens: held-out text {told}, neutral text {told}"


def test_the_worst_block_decides_what_all_blocks_find() -> None:
    rows = [(block, kind, share, share, share - 0.02, share + 0.01)
            for block, share in (("language", 0.97), ("soundness", 0.99)) for kind in ("(all)", "(clean)")]
    title = corpus.planted(table("block kind recall precision low high", *rows)).get_suptitle()
    assert "Every block finds at least 97 %" in title


@pytest.mark.parametrize(("low", "high", "verb"), [(0.1, 0.3, "rises"), (-0.3, -0.1, "falls"), (-0.1, 0.1, "stays")])
def test_a_difference_is_named_only_where_its_interval_excludes_zero(low: float, high: float, verb: str) -> None:
    sides = [value for side in (1.0, 1.0 + (low + high) / 2) for value in (side, side - 0.1, side + 0.1)]
    rows = [(measure, *sides, (low + high) / 2, low, high) for measure in corpus._MEASURES]
    columns = [f"{side}{end}" for side in ("raw", "kept", "difference") for end in ("", "_low", "_high")]
    title = corpus.diversity(table(" ".join(["measure", *columns]), *rows)).get_suptitle()
    assert f"entropy over topics {verb}" in title.replace("\n", " ")


def test_the_tail_of_hard_documents_is_counted_on_both_sides() -> None:
    frame = table("sample bits share", ("raw", 10.0, 0.8), ("raw", 15.0, 0.2), ("kept", 10.0, 0.95),
                  ("kept", 15.0, 0.05))
    assert "20.0 % before cleaning, 5.0 % after" in corpus.quality(frame).get_suptitle()


def test_forms_and_gates_are_counted() -> None:
    gates = table("gate asked rejected left", ("refusal", 10, 1, 9), ("repetition", 9, 4, 5))
    assert "5 of 10 generated texts pass all gates (50%)" in synthesis.d2_yield(gates).get_suptitle()
    assert "repetition" in synthesis.d2_yield(gates).get_suptitle()
    idle = table("gate asked rejected left", ("refusal", 10, 0, 10), ("repetition", 10, 4, 6))
    assert "1 further gates rejected none" in synthesis.d2_yield(idle).axes[0].get_xlabel()
    measures = ("yield", "kept_tokens_per_100_written", "self_bleu", "adds_names_or_numbers")
    rows = [(form, measure, share, share - 0.1, share + 0.1, count)
            for form, share, count in (("summary", 0.6, 5), ("table", 0, 4), ("worked_problem", 0, 9))
            for measure in measures]
    title = synthesis.d2_forms(table("form measure value low high texts", *rows)).get_suptitle().replace("\n", " ")
    assert title == "3 of 18 drafts pass every gate; none of table (0 of 4), worked problem (0 of 9)"


def test_diversity_is_told_by_intervals_and_a_part_without_one_has_no_whiskers() -> None:
    rows = [(part, measure, value, value - width, value + width, texts) for measure in synthesis._PANELS
            for part, value, width, texts in (("d1", 0.3, 0.1, 9), ("d2", 0.1, 0.0, 9), ("d3", 0.6, 0.1, 9),
                                              ("d1+d2", 0.2, 0.1, 20))]
    picture = synthesis.diversity(table("part measure value low high texts", *rows))
    assert picture.get_suptitle().replace("\n", " ") == (
        "D3 repeats itself more than D1 (self-BLEU D1 0.30, D2 0.10, D3 0.60); "
        "topics are spread less evenly in D2 (entropy D1 0.30, D2 0.10, D3 0.60 nats)")
    assert len(picture.axes[0].collections[0].get_segments()) == 3
    fewer = table("part measure value low high texts", *(row[:5] + (5 if row[0] == "d2" else 9,) for row in rows))
    assert "less evenly in no synthetic part" in synthesis.diversity(fewer).get_suptitle()


def test_composition_schedule_and_epochs_say_what_was_read() -> None:
    frame = table("file source category tokens", ("d1", "a", "web", 3_000_000), ("d1", "b", "law", 1_000_000),
                  ("d2", "m", "web", 500_000))
    title = tokens.draw_composition(frame).get_suptitle().replace("\n", " ")
    assert title == "The parts differ in their mix, most in law: 25% of D1's tokens, 0% of D2's"
    steps = [("b", step, file, read) for step, d1, d2 in ((0, 0, 0), (5, 5e6, 0), (10, 8e6, 2e6))
             for file, read in (("d1", d1), ("d2", d2))]
    title = tokens.draw_schedule(table("arm step file tokens_read", *steps)).get_suptitle().replace("\n", " ")
    assert title == "All arms read 10.00 M tokens; the first 5 of 10 steps see D1 alone"
    epochs = table("arm file epochs", ("a", "d1", 0.5), ("b", "d3", 3.0), ("paper", "D3: SFT", 8.0))
    title = tokens.draw_epochs(epochs).get_suptitle().replace("\n", " ")
    assert title == "Most is read of D3: 3 times, in arm B; the paper reads SFT 8 times"


def test_curves_say_how_far_apart() -> None:
    curves = table("arm tokens bits_per_byte", ("a", 1000, 3.0), ("a", 2000, 2.0), ("b", 2000, 2.1),
                   ("unigram", 0, 2.5), ("fivegram", 0, 1.9))
    title = training.heldout_curves(curves).get_suptitle()
    assert "All arms beat the unigram table" in title and "2.00 to 2.10 bits per byte" in title
    banded = curves.assign(low=curves["bits_per_byte"] - 0.6, high=curves["bits_per_byte"] + 0.45)
    assert training.heldout_curves(banded).get_suptitle().startswith("1 arm beats the unigram table")
    strong_first = table("arm tokens bits_per_byte", ("a", 1, 2.4), ("b", 1, 2.3), ("unigram", 0, 3.0),
                         ("bigram", 0, 2.35), ("fivegram", 0, 2.5))
    assert training.heldout_curves(strong_first).get_suptitle().startswith(
        "All arms beat the 5-gram table, 1 arm beats the bigram table")
    losses = table("arm seed tokens loss", *[("a", seed, 1000 * k, 5.0 - k) for seed in (0, 1) for k in (1, 2, 3)])
    assert "falls from 4.0 to 2.0 nats per token" in training.loss_curves(losses).get_suptitle()


def test_transfer_and_contrasts_name_gains_and_outcomes() -> None:
    columns = "arm endpoint bits_per_byte difference difference_low difference_high"
    frame = table(columns, ("a", "p", 2.0, 0.0, 0.0, 0.0), ("b", "p", 1.9, -0.1, -0.15, -0.05),
                  ("unigram", "p", 2.5, 0.5, 0.5, 0.5))
    picture = training.transfer(frame)
    assert "Most is gained on benchmark answers: -0.10" in picture.get_suptitle().replace("\n", " ")
    none = training.transfer(frame.assign(difference_high=0.05)).get_suptitle().replace("\n", " ")
    assert none == "No arm gains on A by more than chance"
    for p_holm, told in ((0.04, "Most is gained on"), (0.06, "No arm gains on A")):
        assert training.transfer(frame.assign(p_holm=p_holm)).get_suptitle().startswith(told)
    assert "1.900\n-0.100*" in [text.get_text() for text in picture.axes[0].texts]
    rows = table("contrast endpoint difference low high outcome margin",
                 ("b-a", "p", -0.1, -0.15, -0.05, "better", 0.01), ("c-b", "p", 0.0, -0.005, 0.005, "equivalent", 0.01))
    picture = training.contrasts(rows)
    assert picture.get_suptitle().replace("\n", " ") == "On benchmark answers: 1 better, 1 equivalent"
    keys = [text.get_text() for text in picture.legends[0].get_texts()]
    assert keys == ["better", "equivalent", "within 0.01: too small to matter"]


@pytest.mark.parametrize(("outcome", "held", "told"), [
    ("worse", True, "at ten times the size worse by 0.040 bits per byte"),
    ("cannot tell", True, "nothing can be told, since the two laws disagree"),
    ("cannot tell", False, "nothing can be told, since the law fails its check"),
])
def test_a_grid_s_title_is_what_its_check_and_interval_leave(outcome: str, held: bool, told: str) -> None:
    columns = "contrast endpoint kind hidden_size parameters tokens difference low high seeds p_holm held outcome"
    endpoints, lengths = ("p", "n", "h1", "h3"), ((5e5, 0.01), (4e6, 0.06))
    cells = [("c-a", endpoint, "measured", size, size**2, tokens, -0.03, -0.05, -0.01, 3, p_holm, None, None)
             for endpoint in endpoints for size in (128, 256) for tokens, p_holm in lengths]
    law = [("c-a", endpoint, kind, None, 1e7, 4e7, 0.04, 0.01, 0.07, 3, None, held, outcome)
           for endpoint in endpoints for kind in ("extrapolated", "alone")]
    picture = training.scaling(table(columns, *cells, *law))
    title = picture.get_suptitle().replace("\n", " ")
    assert title.startswith("C − A on benchmark answers: better in 2 and worse in 0 of 4 cells") and told in title
    assert [axes.get_title() for axes in picture.axes] == [
        "P: benchmark answers", "H1: held-out text", "H3: held-out tasks"]
    alone = training.scaling(table(columns, *cells[:1])).get_suptitle().replace("\n", " ")
    assert "too few for a law" in alone
    if held and outcome == "cannot tell":
        drawn = table(columns, *cells, *law)
        unsure = drawn.assign(low=drawn["low"].where(drawn["kind"] != "alone", -0.01))
        assert "since an interval holds zero" in training.scaling(unsure).get_suptitle().replace("\n", " ")


def test_a_precision_costs_and_saves_what_its_row_says() -> None:
    columns = ("precision size_mb memory_mb token_ms slowest_ms worse_by low high tool_worse_by tool_low tool_high")
    frame = table(columns, ("fp32", 40.0, 90.0, 2.0, 2.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
                  ("int8", 11.0, 60.0, 1.0, 1.2, 0.001, 0.0, 0.002, 0.0, -0.01, 0.01),
                  ("int4", 8.0, 55.0, 4.0, 4.5, 0.05, 0.04, 0.06, 0.02, 0.0, 0.04))
    title = deployment.precision(frame).get_suptitle().replace("\n", " ")
    assert "int4 is 5.0 times smaller and 2.0 times as slow here, and loses +0.0500" in title
    phones = table(
        "precision tokens_per_s_low tokens_per_s_high tokens_per_s_bound share_low share_high published",
        ("int8", 10.0, 20.0, 40.0, 0.25, 0.5, None), ("int4", 20.0, 40.0, 80.0, 0.25, 0.5, 60.0),
    )
    assert "would be 75% of it" in deployment.phone(phones).get_suptitle()


def test_tool_accuracy_sets_ours_beside_the_strongest_baseline() -> None:
    columns = "test_set system part exact low high right_function function_low function_high phrasings"
    rows = [("test", system, "all", exact, exact - 0.1, exact + 0.05, 0.9, 0.8, 0.95, 24)
            for system, exact in (("hare-tool", 0.8), ("retrieval", 0.3), ("retrieval-examples", 0.5))]
    title = finetuning.tool_accuracy(table(columns, *rows)).get_suptitle()
    assert "80" in title and "50" in title and "30" not in title


def test_the_curve_over_pretraining_names_both_ends() -> None:
    rows = [(form, tokens, part, exact, exact - 0.1, exact + 0.05, 1)
            for form, start in (("marks", 0.6), ("copying", 0.0), ("copying, grammar", 0.1))
            for part in ("all", "with arguments")
            for tokens, exact in ((0, start), (600_000, start + 0.1), (2_400_000, start + 0.2))]
    picture = finetuning.pretraining_curve(table("form tokens part exact low high seeds", *rows))
    title = picture.get_suptitle().replace("\n", " ")
    assert "60 to 80 % by marks" in title and "0 to 20 % by copying" in title and "2.4 M" in title


def test_the_confusion_says_how_many_answers_a_row_has() -> None:
    rows = [(system, wanted, answered, items) for system in ("hare-tool", "retrieval-examples")
            for wanted, answered, items in (("call_contact", "call_contact", 7), ("call_contact", "open_camera", 3),
                                            ("open_camera", "open_camera", 5))]
    picture = finetuning.tool_confusion(table("system wanted answered items", *rows))
    assert "3 of 10 times" in picture.get_suptitle()
    assert [label.get_text() for label in picture.axes[0].get_yticklabels()] == ["call_contact (10)", "open_camera (5)"]


def test_the_detection_table_says_what_each_rule_finds_inside_documents() -> None:
    rules = {"document-share-10-15": 0, "any-13-gram": 49, "item-coverage": 50}
    frame = table(
        "kind rule cases dropped rate low high",
        *(("inside_a_document", rule, 50, dropped, dropped / 50, 0.0, 1.0) for rule, dropped in rules.items()),
        *(("clean_documents", rule, 10_000, 2, 2e-4, 0.0, 1e-3) for rule in rules),
    )
    picture = decontamination.planted_detection(frame)
    assert picture.get_suptitle() == (
        "The paper's rule finds 0 of 50 items inside longer documents;\nitem coverage finds 50, one shared 13-gram 49"
    )
    (axis,) = picture.axes
    assert {text.get_text() for text in axis.texts} >= {"98 %  [0, 100]", "0.02 %  [0.00, 0.10]"}
    assert decontamination.rule_label("any-13-gram+neighbour") == "any 13-gram or nearest neighbour"


def test_the_overlap_curve_names_the_least_n() -> None:
    shares = {(4, 0.0): 0.8, (4, 0.5): 0.01, (15, 0.0): 0.1, (15, 0.5): 0.0}
    rows = [("d1", n, threshold, 1000, share, 0.0, 1.0) for (n, threshold), share in shares.items()]
    picture = decontamination.overlap_curve(table("part ngram threshold documents share low high", *rows))
    assert picture.get_suptitle().replace("\n", " ") == (
        "80% of D1's documents share a 4-gram with a benchmark, 1.0% share more than half of theirs"
    )


def test_a_bag_of_words_is_a_baseline_of_the_tools_title() -> None:
    frame = table("test_set system part exact low high", ("test", "hare-tool", "all", 0.88, 0.85, 0.91),
                  ("test", "retrieval", "all", 0.4, 0.3, 0.5), ("test", "bag-of-words", "all", 0.86, 0.83, 0.89))
    assert finetuning.tool_finding(frame) == (
        "HARE-Tool's right calls: test set 88 % (best baseline 86 %, intervals overlap)"
    )
