using System.Globalization;
using System.Text;

namespace MemSim.Recordings.Workloads;

/// <summary>Replaces variables and computes expressions in a shell script's words.</summary>
internal sealed class ShellExpansion(Dictionary<string, string> variables, string path)
{
    public string Expand(in ShellToken word)
    {
        StringBuilder text = new();
        string from = word.Text;
        for (int at = 0; at < from.Length; at++)
        {
            char c = from[at];
            if (c == '"')
            {
                continue;
            }

            if (c != '$' || at + 1 == from.Length)
            {
                text.Append(c);
                continue;
            }

            if (from.AsSpan(at).StartsWith("$(("))
            {
                int end = from.IndexOf("))", at, StringComparison.Ordinal);
                end = end >= 0 ? end : throw new InputFileException(path, word.Line, $"'{from}': no '))'");
                int position = 0;
                string expression = from[(at + 3)..end];
                text.Append(Sum(expression, ref position, word.Line).ToString(CultureInfo.InvariantCulture));
                at = end + 1;
            }
            else if (from[at + 1] == '{')
            {
                int end = from.IndexOf('}', at);
                end = end >= 0 ? end : throw new InputFileException(path, word.Line, $"'{from}': no '}}'");
                string inner = from[(at + 2)..end];
                int other = inner.IndexOf(":-", StringComparison.Ordinal);
                string value = Value(other >= 0 ? inner[..other] : inner);
                text.Append(value.Length == 0 && other >= 0 ? inner[(other + 2)..] : value);
                at = end;
            }
            else
            {
                int length = NameLength(from, at + 1);
                length = length == 0 && from[at + 1] is '!' or '?' ? 1 : length;
                text.Append(Value(from.Substring(at + 1, length)));
                at += length;
            }
        }

        return text.ToString();
    }

    private string Value(string name) => variables.GetValueOrDefault(name, "");

    private static int NameLength(string text, int at)
    {
        int end = at;
        while (end < text.Length && (char.IsAsciiLetterOrDigit(text[end]) || text[end] == '_'))
        {
            end++;
        }

        return end - at;
    }

    private long Sum(string text, ref int at, int line)
    {
        long value = Product(text, ref at, line);
        while (Next(text, ref at) is ('+' or '-') and char c)
        {
            at++;
            long other = Product(text, ref at, line);
            value = c == '+' ? value + other : value - other;
        }

        return value;
    }

    private long Product(string text, ref int at, int line)
    {
        long value = Factor(text, ref at, line);
        while (Next(text, ref at) is ('*' or '/' or '%') and char c)
        {
            at++;
            long other = Factor(text, ref at, line);
            if (c != '*' && other == 0)
            {
                throw new InputFileException(path, line, $"'{text}' divides by zero");
            }

            value = c switch { '*' => value * other, '/' => value / other, _ => value % other };
        }

        return value;
    }

    private long Factor(string text, ref int at, int line)
    {
        char c = Next(text, ref at);
        if (c == '(')
        {
            at++;
            long inner = Sum(text, ref at, line);
            return Next(text, ref at) == ')' && at++ >= 0 ? inner : throw new InputFileException(path, line, $"'{text}': a bracket is not closed");
        }

        at += c == '$' ? 1 : 0;
        int length = NameLength(text, at);
        string name = text.Substring(at, length);
        at += length;
        string number = name.Length != 0 && char.IsAsciiDigit(name[0]) ? name : Value(name);
        return long.TryParse(number, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value) && Math.Abs(value) < 1L << 40
            ? value
            : throw new InputFileException(path, line, $"'{text}': '{name}' is no number");
    }

    private static char Next(string text, ref int at)
    {
        while (at < text.Length && text[at] == ' ')
        {
            at++;
        }

        return at < text.Length ? text[at] : '\0';
    }
}
