namespace MemSim.Slab;

/// <summary>What <c>slub_debug=</c> switches on, for which caches.</summary>
/// <remarks>
/// <c>slub_debug</c>, or <c>slub_debug=FZPUTA,names;…</c>: blocks separated by semicolons, each letters (F consistency checks, Z red zones, P poison, U user
/// tracking, T trace, A failslab; O no larger slabs for it; - nothing) and, after a comma, cache names of which the last character may be <c>*</c>.
/// </remarks>
internal sealed record SlubDebugOptions
{
    private const SlabFlags DefaultFlags = SlabFlags.ConsistencyChecks | SlabFlags.RedZone | SlabFlags.Poison | SlabFlags.StoreUser;

    private readonly List<(SlabFlags Flags, string[] Names)> _blocks = [];
    private SlabFlags _global;

    public static SlubDebugOptions None { get; } = new();

    /// <summary>Whether debugging must not make slabs larger.</summary>
    public bool DisableHigherOrder { get; private set; }

    /// <summary>Whether the users of some caches are tracked.</summary>
    public bool Tracks { get; private set; }

    /// <summary>Reads the parameter's value.</summary>
    /// <param name="text">The text after the equals sign; empty for the default, null without the parameter.</param>
    /// <exception cref="ArgumentException">A letter is unknown.</exception>
    public static SlubDebugOptions Parse(string? text)
    {
        if (text is null)
        {
            return None;
        }

        SlubDebugOptions options = new();
        bool any = false;
        foreach (string block in text.Split(';', StringSplitOptions.RemoveEmptyEntries))
        {
            any = true;
            int comma = block.IndexOf(',', StringComparison.Ordinal);
            string letters = comma < 0 ? block : block[..comma];
            SlabFlags flags = letters.Length == 0 ? DefaultFlags : options.FlagsOf(letters, text);
            if (comma < 0)
            {
                options._global = flags;
            }
            else
            {
                options._blocks.Add((flags, block[(comma + 1)..].Split(',', StringSplitOptions.RemoveEmptyEntries)));
            }
        }

        if (!any)
        {
            options._global = DefaultFlags;
        }

        options.Tracks = ((options._blocks.Aggregate(options._global, (flags, block) => flags | block.Flags)) & SlabFlags.StoreUser) != 0;

        return options;
    }

    /// <summary>The flags of a cache with debugging added (<c>kmem_cache_flags()</c>).</summary>
    public SlabFlags Apply(string name, SlabFlags flags)
    {
        if ((flags & SlabFlags.NoUserFlags) != 0)
        {
            return flags;
        }

        // A cache whose objects nobody may look at keeps no addresses of users by default either.
        SlabFlags hidden = (flags & SlabFlags.NoLeakTrace) != 0 ? SlabFlags.StoreUser : 0;
        foreach ((SlabFlags block, string[] names) in _blocks)
        {
            foreach (string pattern in names)
            {
                if (pattern.EndsWith('*') ? name.StartsWith(pattern.AsSpan(0, pattern.Length - 1), StringComparison.Ordinal) : name == pattern)
                {
                    return flags | block;
                }
            }
        }

        return flags | (_global & ~hidden);
    }

    private SlabFlags FlagsOf(string letters, string text)
    {
        SlabFlags flags = SlabFlags.None;
        foreach (char letter in letters)
        {
            switch (char.ToLowerInvariant(letter))
            {
                case 'f': flags |= SlabFlags.ConsistencyChecks; break;
                case 'z': flags |= SlabFlags.RedZone; break;
                case 'p': flags |= SlabFlags.Poison; break;
                case 'u': flags |= SlabFlags.StoreUser; break;
                case 't': flags |= SlabFlags.Trace; break;
                case 'a': break;
                case 'o': DisableHigherOrder = true; break;
                case '-': return SlabFlags.None;
                default: throw new ArgumentException($"kernel command line: 'slub_debug={text}': option '{letter}' is unknown (F, Z, P, U, T, A, O and - are known)");
            }
        }

        return flags;
    }
}
