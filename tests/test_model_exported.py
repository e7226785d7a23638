"""An exported model that multiplies as training does says what transformers' own says."""

import torch
from transformers import AutoModelForCausalLM, MistralConfig, MistralForCausalLM

from hare.model.exported import load_exported, multiplying_as_training

CONFIG = MistralConfig(
    vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=32,
)


def test_logits_and_gradients_are_those_of_transformers(tmp_path):
    torch.manual_seed(0)
    MistralForCausalLM(CONFIG).save_pretrained(tmp_path)
    theirs, ours = AutoModelForCausalLM.from_pretrained(tmp_path), load_exported(tmp_path)
    ids = torch.randint(64, (3, 17))
    assert not ours.training and ours.state_dict().keys() == theirs.state_dict().keys()
    torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, atol=1e-5, rtol=1e-4)
    ours(ids, labels=ids).loss.backward()
    theirs(ids, labels=ids).loss.backward()
    for name, weight in theirs.named_parameters():
        torch.testing.assert_close(ours.get_parameter(name).grad, weight.grad, atol=1e-5, rtol=1e-4)


def test_layers_with_a_bias_and_other_precisions_are_left_to_torch(tmp_path):
    with_bias = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4, bias=False))
    changed = multiplying_as_training(with_bias)
    assert type(changed[0]) is torch.nn.Linear and type(changed[1]) is not torch.nn.Linear
    half = changed.to(torch.bfloat16)(torch.ones(2, 4, dtype=torch.bfloat16))
    assert half.dtype == torch.bfloat16
