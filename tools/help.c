// SPDX-License-Identifier: Apache-2.0
// --help, from the tables.
#include "cli.h"

#include <stdio.h>

void cli_print_usage(const struct cli *c)
{
	if (c->verb)
		printf("Usage: %s [OPTION...] %s %s\n", c->program, c->verb->name,
		       c->verb->arguments);
	else
		printf("Usage: %s [OPTION...] <action> <action-specific>\n", c->program);
}

static void print_option(const struct option_row *o)
{
	char left[64];

	snprintf(left, sizeof(left), "%c%c%c --%s%s%s", o->letter ? '-' : ' ', o->letter ?: ' ',
		 o->letter ? ',' : ' ', o->name, o->argument ? "=" : "", o->argument ?: "");
	if (strlen(left) > 36)
		printf("  %s\n  %36s  %s\n", left, "", o->help);
	else
		printf("  %-36s  %s\n", left, o->help);
}

static void print_aliases(const char *verb)
{
	const char *before = "  also called: ";

	for (size_t i = 0; i < cli_n_aliases; i++) {
		const struct verb_alias *a = &cli_aliases[i];

		/* An alias for a type that is refused is there to be refused by name. */
		if (strcmp(a->verb, verb) != 0 || (a->type && strcmp(a->type, "luks") != 0))
			continue;
		printf("%s%s", before, a->name);
		before = ", ";
	}
	if (before[0] == ',')
		printf("\n");
}

static void print_verb_help(const struct cli *c)
{
	cli_print_usage(c);
	printf("\n  %s\n", c->verb->help);
	print_aliases(c->verb->name);
	printf("\nOptions:\n");
	for (int i = 0; i < OPT_COUNT; i++)
		if (cli_verb_takes(c->verb, (enum option_id)i))
			print_option(&cli_option_rows[i]);
}

void cli_print_help(const struct cli *c)
{
	if (c->verb) {
		print_verb_help(c);
		return;
	}
	cli_print_usage(c);
	printf("\nOptions:\n");
	for (int i = 0; i < OPT_COUNT; i++)
		print_option(&cli_option_rows[i]);
	printf("\n<action> is one of:\n");
	for (size_t i = 0; i < cli_n_verbs; i++) {
		char left[64];

		snprintf(left, sizeof(left), "%s %s", cli_verbs[i].name, cli_verbs[i].arguments);
		printf("  %-40s  %s\n", left, cli_verbs[i].help);
	}
	printf("\n  older names: ");
	for (size_t i = 0; i < cli_n_aliases; i++)
		if (!cli_aliases[i].type || !strcmp(cli_aliases[i].type, "luks"))
			printf("%s%s", i ? ", " : "", cli_aliases[i].name);
	printf("\n\n<name> is the mapping below /dev/mapper, <device> a block device or an image "
	       "file.\n"
	       "Options may stand before or behind the action; `%s <action> --help' lists the "
	       "action's own.\n\nExit codes:\n",
	       c->program);
	printf("  0  success\n");
	for (int i = 1; i <= 5; i++)
		printf("  %d  %s\n", i, cli_exit_text(i));
}
