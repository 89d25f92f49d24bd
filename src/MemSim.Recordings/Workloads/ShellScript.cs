using System.Globalization;

namespace MemSim.Recordings.Workloads;

/// <summary>A program of a shell script, to be run.</summary>
/// <param name="Line">Where it stands.</param>
/// <param name="Words">Its name and arguments.</param>
/// <param name="Input">What is its input; null for nothing.</param>
/// <param name="Output">Where its output goes; null for nowhere that matters.</param>
/// <param name="IsBackground">Whether the script goes on meanwhile.</param>
internal sealed record ShellCommand(int Line, IReadOnlyList<string> Words, string? Input, string? Output, bool IsBackground);

/// <summary>Runs the kind of shell script that recordings were made with: commands, variables, sums, <c>while</c>, <c>for</c>, <c>if</c>, <c>&amp;&amp;</c>, <c>||</c>.</summary>
/// <param name="path">Its name, for what is wrong with it.</param>
/// <param name="run">Runs a program and returns its exit status.</param>
/// <param name="exists">Whether there is a file; null where none of those that scripts ask for exists.</param>
internal sealed class ShellScript(string path, Func<ShellCommand, int> run, Func<string, bool>? exists = null)
{
    private const int MaxCommands = 1_000_000;

    private readonly Dictionary<string, string> _variables = new(StringComparer.Ordinal);
    private List<ShellToken> _tokens = [];
    private int _at;
    private int _commands;

    /// <summary>Runs a script to its end.</summary>
    public void Run(string text)
    {
        _tokens = ShellTokens.Of(text, path);
        _at = 0;
        List(doIt: true, []);
        if (_at != _tokens.Count)
        {
            throw Bad(_tokens[_at], $"'{_tokens[_at].Text}' does not belong here");
        }
    }

    private InputFileException Bad(in ShellToken token, string reason) => new(path, token.Line, reason);

    private bool IsWord(string word) => _at < _tokens.Count && _tokens[_at].IsWord && _tokens[_at].Text == word;

    private bool IsOperator(string text) => _at < _tokens.Count && !_tokens[_at].IsWord && _tokens[_at].Text == text;

    private void Expect(string word)
    {
        if (!IsWord(word))
        {
            throw new InputFileException(path, _tokens[Math.Min(_at, _tokens.Count - 1)].Line, $"'{word}' is missing");
        }

        _at++;
    }

    /// <summary>Commands up to one of some words, which is not read.</summary>
    private int List(bool doIt, ReadOnlySpan<string> ends)
    {
        int status = 0;
        while (true)
        {
            while (IsOperator(";"))
            {
                _at++;
            }

            if (_at == _tokens.Count || (_tokens[_at].IsWord && ends.Contains(_tokens[_at].Text)))
            {
                return status;
            }

            status = AndOr(doIt);
            if (!IsOperator(";") && !IsOperator("&"))
            {
                throw Bad(_tokens[_at], $"'{_tokens[_at].Text}' does not belong here");
            }

            _at++;
        }
    }

    private int AndOr(bool doIt)
    {
        int status = Pipeline(doIt);
        while (IsOperator("&&") || IsOperator("||"))
        {
            bool wantsSuccess = _tokens[_at++].Text == "&&";
            bool next = doIt && (status == 0) == wantsSuccess;
            int result = Pipeline(next);
            status = next ? result : status;
        }

        return status;
    }

    private int Pipeline(bool doIt)
    {
        int status = Command(doIt);
        while (IsOperator("|"))
        {
            _at++;
            status = Command(doIt);
        }

        return status;
    }

    private int Command(bool doIt)
    {
        if (IsWord("while"))
        {
            return While(doIt);
        }

        if (IsWord("for"))
        {
            return For(doIt);
        }

        if (IsWord("if"))
        {
            _at++;
            bool yes = List(doIt, ["then"]) == 0 && doIt;
            Expect("then");
            int status = List(yes, ["else", "fi"]);
            if (IsWord("else"))
            {
                _at++;
                int other = List(doIt && !yes, ["fi"]);
                status = yes ? status : other;
            }

            Expect("fi");
            return status;
        }

        return Simple(doIt);
    }

    private int While(bool doIt)
    {
        int start = ++_at;
        while (true)
        {
            bool goesOn = List(doIt, ["do"]) == 0 && doIt;
            Expect("do");
            int status = List(goesOn, ["done"]);
            Expect("done");
            if (!goesOn)
            {
                return status;
            }

            _at = start;
        }
    }

    private int For(bool doIt)
    {
        string name = _tokens[++_at].Text;
        _at++;
        Expect("in");
        ShellExpansion expansion = new(_variables, path);
        List<string> values = [];
        for (; _at < _tokens.Count && _tokens[_at].IsWord; _at++)
        {
            values.Add(doIt ? expansion.Expand(_tokens[_at]) : _tokens[_at].Text);
        }

        while (IsOperator(";"))
        {
            _at++;
        }

        int start = _at;
        int status = 0;
        for (int i = 0; i < Math.Max(1, values.Count); i++)
        {
            // Without values, or where nothing is to be done, the body is only read.
            bool runs = doIt && i < values.Count;
            if (runs)
            {
                _variables[name] = values[i];
            }

            _at = start;
            Expect("do");
            int result = List(runs, ["done"]);
            Expect("done");
            status = runs ? result : status;
            if (!doIt)
            {
                break;
            }
        }

        return status;
    }

    private int Simple(bool doIt)
    {
        ShellExpansion expansion = new(_variables, path);
        List<string> words = [];
        string? input = null;
        string? output = null;
        ShellToken first = _tokens[_at];
        for (; _at < _tokens.Count; _at++)
        {
            ShellToken token = _tokens[_at];
            if (token.IsWord)
            {
                words.Add(doIt ? expansion.Expand(token) : token.Text);
                continue;
            }

            if (token.Text is not ("<" or ">") && !token.Text.EndsWith('>'))
            {
                break;
            }

            if (_at + 1 == _tokens.Count || !_tokens[_at + 1].IsWord)
            {
                throw Bad(token, $"'{token.Text}' names no file");
            }

            string file = doIt ? expansion.Expand(_tokens[++_at]) : _tokens[++_at].Text;
            input = token.Text == "<" ? file : input;
            output = token.Text is ">" or "1>" ? file : output;
        }

        if (words.Count == 0)
        {
            throw Bad(first, $"'{first.Text}' is no command");
        }

        if (!doIt)
        {
            return 0;
        }

        if (++_commands > MaxCommands)
        {
            throw Bad(first, "the script does not seem to end");
        }

        int status = Execute(new ShellCommand(first.Line, words, input, output, IsOperator("&")));
        _variables["?"] = status.ToString(CultureInfo.InvariantCulture);
        return status;
    }

    private int Execute(ShellCommand command)
    {
        string name = command.Words[0];
        int equals = name.IndexOf('=', StringComparison.Ordinal);
        if (equals > 0 && command.Words.Count == 1)
        {
            _variables[name[..equals]] = name[(equals + 1)..];
            return 0;
        }

        if (name == "[")
        {
            return Test(command) ? 0 : 1;
        }

        int status = run(command);
        if (command.IsBackground)
        {
            // The last one started is all that is ever asked for.
            _variables["!"] = "last";
        }

        return status;
    }

    private bool Test(ShellCommand command)
    {
        IReadOnlyList<string> words = command.Words;
        if (words.Count == 4 && words[1] is "-f" or "-e" && words[3] == "]")
        {
            return exists?.Invoke(words[2]) ?? false;
        }

        if (words.Count != 5 || words[4] != "]")
        {
            throw new InputFileException(path, command.Line, "only comparisons of two values are known");
        }

        if (words[2] is "=" or "!=")
        {
            return words[1] == words[3] == (words[2] == "=");
        }

        if (!long.TryParse(words[1], CultureInfo.InvariantCulture, out long left) || !long.TryParse(words[3], CultureInfo.InvariantCulture, out long right))
        {
            throw new InputFileException(path, command.Line, $"'{words[1]}' or '{words[3]}' is no number");
        }

        return words[2] switch
        {
            "-lt" => left < right,
            "-le" => left <= right,
            "-gt" => left > right,
            "-ge" => left >= right,
            "-eq" => left == right,
            "-ne" => left != right,
            _ => throw new InputFileException(path, command.Line, $"'{words[2]}' is no comparison"),
        };
    }
}
