using System.Globalization;

namespace MemSim.Explorer.Sessions;

/// <summary>What follows the name of a command: words in order, <c>key=value</c> pairs, and <c>as NAME</c>.</summary>
public sealed class CommandArguments
{
    private readonly List<string> _words = [];
    private readonly Dictionary<string, string> _options = new(StringComparer.Ordinal);
    private readonly string _usage;

    /// <summary>Takes a line apart.</summary>
    /// <param name="words">The words after the command's name.</param>
    /// <param name="usage">How it is written, for messages.</param>
    /// <exception cref="CommandException"><c>as</c> without a name.</exception>
    public CommandArguments(IReadOnlyList<string> words, string usage)
    {
        _usage = usage;
        for (int i = 0; i < words.Count; i++)
        {
            int equals = words[i].IndexOf('=', StringComparison.Ordinal);
            if (words[i] == "as")
            {
                Name = ++i < words.Count ? words[i] : throw Wrong("a name has to follow 'as'");
            }
            else if (equals > 0)
            {
                _options[words[i][..equals]] = words[i][(equals + 1)..];
            }
            else
            {
                _words.Add(words[i]);
            }
        }
    }

    /// <summary>The name asked for with <c>as</c>; null without.</summary>
    public string? Name { get; }

    /// <summary>How many words there are.</summary>
    public int Count => _words.Count;

    /// <summary>Words from one on, as they were written.</summary>
    public string Rest(int from) => string.Join(' ', _words.Skip(from));

    /// <summary>A word that must be there.</summary>
    public string Word(int index, string what) => index < _words.Count ? _words[index] : throw Wrong($"{what} is missing");

    /// <summary>A word that may be there.</summary>
    public string? WordOrNull(int index) => index < _words.Count ? _words[index] : null;

    /// <summary>A number that must be there.</summary>
    public int Number(int index, string what, int from, int to) => ToNumber(Word(index, what), what, from, to);

    /// <summary>A number given as <c>key=value</c>.</summary>
    public int Option(string key, int otherwise, int from, int to) => _options.TryGetValue(key, out string? text) ? ToNumber(text, key, from, to) : otherwise;

    /// <summary>A text given as <c>key=value</c>.</summary>
    public string Option(string key, string otherwise) => _options.GetValueOrDefault(key, otherwise);

    /// <summary>A size that must be there, as <c>4K</c>.</summary>
    public long Size(int index, string what, long most)
    {
        string word = Word(index, what);
        return ByteSize.TryParse(word, out ByteSize size) && size.Bytes > 0 && size.Bytes <= (ulong)most
            ? (long)size.Bytes
            : throw Wrong($"'{word}' is no size that can be: write for instance 4096, 64K or 1M, at most {new ByteSize((ulong)most)}");
    }

    /// <summary>The GFP mask in a word; <see cref="Gfp.Kernel"/> without.</summary>
    public Gfp Mask(int index)
    {
        if (index >= _words.Count)
        {
            return Gfp.Kernel;
        }

        return GfpText.TryParse(_words[index], out Gfp gfp) ? gfp : throw Wrong($"'{_words[index]}' is no GFP mask: write for instance GFP_KERNEL, GFP_ATOMIC or GFP_KERNEL|__GFP_DMA");
    }

    /// <summary>What to throw when something is wrong.</summary>
    public CommandException Wrong(string what) => new($"{what}. Usage: {_usage}");

    private int ToNumber(string text, string what, int from, int to) =>
        int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) && value >= from && value <= to
            ? value
            : throw Wrong($"'{text}' for {what}: write a number from {from} to {to}");
}
