/* SPDX-License-Identifier: MIT */
/* config.json: the keys of several families, and values that no model has. */
#include <config.h>

#include <errno.h>

#include "base/buffer.h"
#include "tensor/config.h"

#include "tests/tap.h"

static int parse(const char *text, struct tp_config *out)
{
    struct tp_error err = {0};
    int rc = tp_config_parse(text, strlen(text), out, &err);

    if (rc < 0 && !err.message[0])
        bail_out("no message");
    return rc;
}

static void test_llama(void)
{
    struct tp_config c;

    is_int(parse("{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\","
                 "\"_name_or_path\":\"org/base\",\"hidden_size\":4096,\"intermediate_size\":14336,"
                 "\"num_hidden_layers\":32,\"num_attention_heads\":32,\"num_key_value_heads\":8,"
                 "\"vocab_size\":128256,\"max_position_embeddings\":131072,"
                 "\"torch_dtype\":\"bfloat16\","
                 "\"tie_word_embeddings\":true}",
                 &c),
           0, "a config of llama is read");
    is_str(c.architecture, "LlamaForCausalLM", "its architecture");
    is_str(c.model_type, "llama", "its type");
    is_str(c.name, "org/base", "what it was loaded from");
    ok(!c.base_model, "a string that is absent is NULL");
    ok(c.hidden_size == 4096 && c.intermediate_size == 14336 && c.layer_n == 32 && c.head_n == 32 &&
           c.kv_head_n == 8 && c.vocab_size == 128256 && c.position_n == 131072,
       "its dimensions");
    is_int(c.head_dim, 128, "the size of a head follows from the others");
    ok(c.dtype == TP_DTYPE_BF16 && c.tied_embeddings && !c.expert_n, "its dtype and embeddings");
    tp_config_clear(&c);
    ok(!c.root && !c.architecture, "clearing leaves nothing");
}

static void test_families(void)
{
    struct tp_config c;

    is_int(parse("{\"model_type\":\"gpt2\",\"n_embd\":768,\"n_layer\":12,\"n_head\":12,"
                 "\"n_inner\":null,\"n_positions\":1024}",
                 &c),
           0, "a config of gpt2 is read");
    ok(c.hidden_size == 768 && c.layer_n == 12 && c.kv_head_n == 12 && c.head_dim == 64 &&
           c.position_n == 1024 && !c.intermediate_size,
       "with the keys that it has; null is absent");
    tp_config_clear(&c);
    is_int(parse("{\"hidden_size\":1,\"text_config\":{\"hidden_size\":2048,\"num_experts\":64,"
                 "\"num_experts_per_tok\":8},\"vision_config\":{\"hidden_size\":99},"
                 "\"dtype\":\"float16\"}",
                 &c),
           0, "a config of several parts is read");
    ok(c.hidden_size == 2048 && c.expert_n == 64 && c.expert_used_n == 8 && c.dtype == TP_DTYPE_F16,
       "the dimensions of the text model count");
    tp_config_clear(&c);
    is_int(parse("{\"text_config\":7,\"architectures\":[],\"model_type\":3,\"dtype\":[1]}", &c), 0,
           "names of another kind are no failure");
    ok(!c.architecture && !c.model_type && c.dtype == TP_DTYPE_BYTES, "they are as good as absent");
    tp_config_clear(&c);
    is_int(parse("{\"num_key_value_heads\":8}", &c), 0, "the number of heads may be a default");
    is_u64(c.kv_head_n, 8, "that of keys is kept");
    tp_config_clear(&c);
}

static void test_absurd(void)
{
    static const char *const members[] = {"\"hidden_size\":99999999999",
                                          "\"hidden_size\":-1",
                                          "\"num_hidden_layers\":2.5",
                                          "\"vocab_size\":1e300",
                                          "\"num_attention_heads\":4,\"num_key_value_heads\":8",
                                          "\"num_attention_heads\":8,\"num_key_value_heads\":3",
                                          "\"hidden_size\":\"48\"",
                                          "\"num_attention_heads\":[1,2]",
                                          "\"vocab_size\":true",
                                          "\"intermediate_size\":{}",
                                          "\"num_experts\":4,\"num_experts_per_tok\":5",
                                          "\"vocab_size\":0",
                                          "\"head_dim\":0",
                                          "\"text_config\":{\"n_layer\":1000000}"};
    struct tp_config c;
    char text[256];

    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        snprintf(text, sizeof text, "{\"_name_or_path\":\"a/b\",\"n_positions\":5,%s}", members[i]);
        ok(parse(text, &c) == -ERANGE && c.name && strcmp(c.name, "a/b") == 0 && !c.position_n &&
               !c.hidden_size,
           "%s is refused, and the names are kept", members[i]);
        tp_config_clear(&c);
    }
}

static void test_hostile(void)
{
    struct tp_buffer text = {0};
    struct tp_error err = {0};
    struct tp_config c;

    is_int(parse("[]", &c), -EBADMSG, "an array is refused");
    tp_config_clear(&c);
    is_int(parse("{\"hidden_size\":1", &c), -EBADMSG, "so is half an object");
    tp_config_clear(&c);
    is_int(parse("{\"a\":1,\"a\":2}", &c), -EBADMSG, "so is a key that is there twice");
    tp_config_clear(&c);
    for (unsigned i = 0; i < 100000; i++)
        tp_buffer_append(&text, "[", 1);
    is_int(tp_config_parse(text.data, text.len, &c, &err), -EBADMSG, "so is deep nesting");
    tp_config_clear(&c);
    tp_buffer_clear(&text);
    if (tp_buffer_reserve(&text, TP_CONFIG_MAX + 1) < 0)
        bail_out("memory");
    memset(text.data, ' ', TP_CONFIG_MAX + 1);
    is_int(tp_config_parse(text.data, TP_CONFIG_MAX + 1, &c, &err), -EFBIG, "so is a huge file");
    tp_config_clear(&c);
    tp_buffer_clear(&text);
}

int main(void)
{
    test_llama();
    test_families();
    test_absurd();
    test_hostile();
    return tap_done();
}
