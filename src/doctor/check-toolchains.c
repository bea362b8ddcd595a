/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/text.h"
#include "doctor/check.h"
#include "sandbox/sandbox.h"

/* What a program does first that needs its files in /etc, not only its version: "NAME fine" or "NAME failed WORDS" a line. */
static const char script[] =
	"try() {\n"
	"  name=$1; shift\n"
	"  command -v \"$1\" >/dev/null || return 0\n"
	"  if timeout 20 \"$@\" >out 2>&1 </dev/null; then echo \"$name fine\"\n"
	"  else echo \"$name failed $(tr -cd ' -~\\n' <out | grep . | head -n 1)\"; fi\n"
	"}\n"
	"printf 'public class A { public static void main(String[] a) throws Exception { "
	"java.security.MessageDigest.getInstance(\"SHA-256\"); } }' >A.java\n"
	"printf 'int main(){return 0;}' >a.c; cp a.c a.cpp\n"
	"try java java -version; try javac javac A.java; [ ! -e A.class ] || try 'java -cp' java "
	"-cp . A\n"
	"try mvn mvn -v; try perl perl -MPOSIX -e 1; try ruby ruby -rjson -e 1\n"
	"try R R -q -s -e 1; try php php -r 'json_encode(1);'; try node node -e 1; try npm npm -v\n"
	"try gcc gcc -o a a.c; try g++ g++ -o b a.cpp; try go go version; try cargo cargo -V; try "
	"rustc rustc -V\n"
	"try fc-match fc-match sans; try convert convert -version; try ghc ghc --version; try "
	"dotnet dotnet --version\n";

void check_toolchains(struct checks *c)
{
	AUTO(buf) struct buf out = BUF_INIT;
	AUTO(buf) struct buf fine = BUF_INIT;
	AUTO(buf) struct buf failed = BUF_INIT;
	struct err err;
	char *save = NULL;

	if (sandbox_try_script(c->scratch, script, &out, &err)) {
		check_add_error(c, CHECK_LESS, "toolchains", &err, "see the lines above");
		return;
	}
	for (char *line = strtok_r(out.data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		char *end = strstr(line, " fine"), *why = strstr(line, " failed ");
		if (end) {
			*end = '\0';
			buf_addf(&fine, "%s%s", fine.len ? ", " : "", line);
		} else if (why) {
			*why = '\0';
			buf_addf(&failed, "%s%s (%.100s)", failed.len ? ", " : "", line,
				 why + strlen(" failed "));
		}
	}
	if (failed.len)
		check_add(c, CHECK_LESS, "toolchains",
			  "tests that need them cannot run here: see docs/programs.md",
			  "do not start in a sandbox: %s", failed.data);
	if (fine.len)
		check_add(c, CHECK_OK, "toolchains", NULL, "start in a sandbox: %s", fine.data);
}
