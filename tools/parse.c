// SPDX-License-Identifier: Apache-2.0
// argv against the option table: options before, between and after the arguments, as popt has it.
#include "cli.h"

/* Where the parser stands. @seen: the words that aren't options, the action first. */
struct parser {
	struct cli *c;
	char **argv;
	int argc, at;
	bool options_end; /* "--" was met */
};

static int find_long(const char *name, size_t len)
{
	for (int i = 0; i < OPT_COUNT; i++) {
		const struct option_row *o = &cli_option_rows[i];

		if ((strlen(o->name) == len && !memcmp(o->name, name, len)) ||
		    (o->old_name && strlen(o->old_name) == len && !memcmp(o->old_name, name, len)))
			return i;
	}
	return -1;
}

static int find_letter(char letter)
{
	for (int i = 0; i < OPT_COUNT; i++)
		if (cli_option_rows[i].letter && cli_option_rows[i].letter == letter)
			return i;
	return -1;
}

/* Blanks and a plus before a number, which scripts bring along: strtol(3) takes them. */
static const char *number_in(const char *text)
{
	text += strspn(text, " \t");
	return text[0] == '+' ? text + 1 : text;
}

static int parse_value(struct cli *c, enum option_id id, const char *text)
{
	const struct option_row *o = &cli_option_rows[id];
	struct option_value *v = &c->opt[id];
	uint32_t small;
	int r = 0;

	if (id == OPT_KEY_FILE && v->set)
		return err_set(&c->err, -EINVAL, "Only one --key-file argument is allowed.");
	if (o->kind == OPTION_U32) {
		r = text_parse_u32(number_in(text), &small);
		if (!r)
			v->number = small;
	} else if (o->kind == OPTION_U64) {
		r = text_parse_u64(number_in(text), &v->number);
	} else if (o->kind == OPTION_SIZE) {
		r = text_parse_size(number_in(text), &v->number);
	}
	if (r)
		return err_set(&c->err, -EINVAL, "--%s=%s: %s", o->name, text,
			       r == -ERANGE		? "the number is too big"
			       : o->kind == OPTION_SIZE ? "invalid size"
							: "invalid numeric value");
	v->text = text;
	v->set = true;
	return 0;
}

/* @value: the text behind "=" or behind the letter, NULL = the next word. */
static int take_option(struct parser *p, int id, const char *value)
{
	struct cli *c = p->c;

	if (cli_option_rows[id].kind == OPTION_FLAG) {
		c->opt[id].set = true;
		return 0;
	}
	if (!value && p->at >= p->argc)
		return err_set(&c->err, -EINVAL, "--%s: missing argument",
			       cli_option_rows[id].name);
	return parse_value(c, (enum option_id)id, value ?: p->argv[p->at++]);
}

static int take_long(struct parser *p, const char *word)
{
	const char *eq = strchr(word, '=');
	int id = find_long(word, eq ? (size_t)(eq - word) : strlen(word));

	if (id < 0)
		return err_set(&p->c->err, -EINVAL, "--%.*s: unknown option",
			       eq ? (int)(eq - word) : (int)strlen(word), word);
	if (eq && cli_option_rows[id].kind == OPTION_FLAG)
		return err_set(&p->c->err, -EINVAL, "--%s: option does not take an argument",
			       cli_option_rows[id].name);
	return take_option(p, id, eq ? eq + 1 : NULL);
}

/* A cluster of letters, "-qv", "-s256", "-d-", "-d=-". */
static int take_letters(struct parser *p, const char *word)
{
	for (const char *s = word; *s; s++) {
		const char *value;
		int id = find_letter(*s);

		if (id < 0)
			return err_set(&p->c->err, -EINVAL, "-%c: unknown option", *s);
		if (cli_option_rows[id].kind == OPTION_FLAG) {
			p->c->opt[id].set = true;
			continue;
		}
		value = s[1] == '=' ? s + 2 : s + 1;
		return take_option(p, id, s[1] ? value : NULL);
	}
	return 0;
}

static int take_argument(struct parser *p, const char *word)
{
	struct cli *c = p->c;
	const char *type;

	if (!c->verb) {
		c->verb = cli_find_verb(word, &type);
		if (!c->verb)
			return err_set(&c->err, -EINVAL, "Unknown action: %s", word);
		c->type = type;
		return 0;
	}
	if (c->n_args == CLI_ARGS_MAX)
		return err_set(&c->err, -EINVAL, "Too many arguments: %s", word);
	c->arg[c->n_args++] = word;
	return 0;
}

int cli_parse(struct cli *c, int argc, char **argv)
{
	struct parser p = { .c = c, .argv = argv, .argc = argc, .at = 1 };
	int r = 0;

	while (!r && p.at < argc) {
		const char *word = argv[p.at++];

		if (p.options_end || word[0] != '-' || !word[1])
			r = take_argument(&p, word);
		else if (!strcmp(word, "--"))
			p.options_end = true;
		else if (word[1] == '-')
			r = take_long(&p, word + 2);
		else
			r = take_letters(&p, word + 1);
	}
	/* An alias like luksOpen has a type of its own, whatever --type says. */
	if (!c->type && cli_set(c, OPT_TYPE))
		c->type = cli_text(c, OPT_TYPE);
	return r;
}
