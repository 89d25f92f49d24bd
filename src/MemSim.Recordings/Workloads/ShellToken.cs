namespace MemSim.Recordings.Workloads;

/// <summary>A piece of a shell script.</summary>
/// <param name="Line">The line it begins on.</param>
/// <param name="IsWord">Whether it is a word; else an operator or the end of a line (<c>";"</c>).</param>
/// <param name="Text">The word as written, with what is to be expanded.</param>
internal readonly record struct ShellToken(int Line, bool IsWord, string Text);

/// <summary>Cuts a script into words and operators.</summary>
internal static class ShellTokens
{
    public static List<ShellToken> Of(string text, string path)
    {
        List<ShellToken> tokens = [];
        int line = 1;
        int at = 0;
        while (at < text.Length)
        {
            char c = text[at];
            if (c is ' ' or '\t' or '\r')
            {
                at++;
            }
            else if (c == '#')
            {
                at = text.IndexOf('\n', at) is >= 0 and int end ? end : text.Length;
            }
            else if (c is '\n' or ';')
            {
                tokens.Add(new ShellToken(line, false, ";"));
                line += c == '\n' ? 1 : 0;
                at++;
            }
            else if (c is '&' or '|')
            {
                bool twice = at + 1 < text.Length && text[at + 1] == c;
                tokens.Add(new ShellToken(line, false, twice ? $"{c}{c}" : $"{c}"));
                at += twice ? 2 : 1;
            }
            else if (c is '<' or '>' || (char.IsAsciiDigit(c) && at + 1 < text.Length && text[at + 1] == '>'))
            {
                int length = c is '<' or '>' ? 1 : 2;
                tokens.Add(new ShellToken(line, false, text.Substring(at, length)));
                at += length;
            }
            else
            {
                int end = EndOfWord(text, at, path, line);
                tokens.Add(new ShellToken(line, true, text[at..end]));
                at = end;
            }
        }

        tokens.Add(new ShellToken(line, false, ";"));
        return tokens;
    }

    private static int EndOfWord(string text, int at, string path, int line)
    {
        int depth = 0;
        bool quoted = false;
        for (; at < text.Length; at++)
        {
            char c = text[at];
            if (c == '\n' && (quoted || depth != 0))
            {
                break;
            }

            if (c == '"')
            {
                quoted = !quoted;
            }
            else if (c is '(' or '{' && at > 0 && (text[at - 1] == '$' || depth != 0))
            {
                depth++;
            }
            else if (c is ')' or '}' && depth != 0)
            {
                depth--;
            }
            else if (!quoted && depth == 0 && (c is ' ' or '\t' or '\r' or '\n' or ';' or '&' or '|' or '<' or '>'))
            {
                return at;
            }
        }

        return !quoted && depth == 0 ? at : throw new InputFileException(path, line, "a quotation mark or bracket is not closed");
    }
}
