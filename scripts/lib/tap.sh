# SPDX-License-Identifier: GPL-2.0-or-later
# Counting what test programs say in TAP, the protocol GLib's tests speak.
#
# A result stream is "# program NAME RESULT" before each program's output,
# RESULT being OK, SKIP, or anything else for a failure.  A program that
# fails without a "not ok" line (a crash, a time limit) counts as one failure.

# tap_of_meson FILE: the result stream in meson's testlog.json, which is one
# object a line.  Quotes within a value are escaped, so that an unescaped
# "key": can only be a key.
tap_of_meson() {
    awk '
        function value(key,    at, text) {
            at = index($0, "\"" key "\": \"")
            if (at == 0)
                return ""
            text = substr($0, at + length(key) + 5)
            gsub(/\\\\/, "\001", text)
            gsub(/\\"/, "\002", text)
            sub(/".*/, "", text)
            gsub(/\\n/, "\n", text)
            gsub(/\002/, "\"", text)
            gsub(/\001/, "\\", text)
            return text
        }
        {
            result = value("result")
            # A test that is known to fail, and did.
            if (result == "EXPECTEDFAIL")
                result = "OK"
            print "# program " value("name") " " result
            print value("stdout")
        }' "$1"
}

# tap_of_program NAME STATUS FILE: the result stream of one program's output.
tap_of_program() {
    case $2 in
    0) echo "# program $1 OK" ;;
    77) echo "# program $1 SKIP" ;;
    124) echo "# program $1 TIMEOUT" ;;
    *) echo "# program $1 FAIL" ;;
    esac
    cat "$3"
}

# tap_count: reads a result stream, names failures and skips on stderr, and
# prints "PASSED FAILED SKIPPED".
tap_count() {
    awk '
        function end_program() {
            if (name == "")
                return
            if (seen == 0 && result == "OK")
                passed++
            if (seen == 0 && result == "SKIP") {
                skipped++
                print "  skipped: " name > "/dev/stderr"
            }
            if (bad == 0 && result != "OK" && result != "SKIP") {
                failed++
                print "  FAILED:  " name " (" result ")" > "/dev/stderr"
            }
        }
        /^# program / {
            end_program()
            result = $NF
            name = substr($0, 11, length($0) - 11 - length(result))
            seen = bad = 0
            next
        }
        /^(not )?ok/ { seen++ }
        /^not ok.*# *[Tt][Oo][Dd][Oo]/ { skipped++; next }
        /^not ok/ {
            bad++
            failed++
            print "  FAILED:  " name ": " $0 > "/dev/stderr"
        }
        /^ok.*# *[Ss][Kk][Ii][Pp]/ {
            skipped++
            print "  skipped: " name ": " $0 > "/dev/stderr"
            next
        }
        /^ok/ { passed++ }
        END {
            end_program()
            print passed + 0, failed + 0, skipped + 0
        }'
}
