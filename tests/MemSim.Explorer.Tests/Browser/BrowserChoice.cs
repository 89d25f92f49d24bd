namespace MemSim.Explorer.Tests.Browser;

/// <summary>What happens to tests that drive a browser.</summary>
public enum BrowserDecision
{
    /// <summary>They run.</summary>
    Run,

    /// <summary>They are left out, and say so.</summary>
    LeaveOut,

    /// <summary>They fail: this machine has to have a browser.</summary>
    Fail,
}

/// <summary>Which browser tests drive, and what becomes of them where there is none.</summary>
public sealed record BrowserChoice(BrowserDecision Decision, string? Executable, string Why)
{
    private static readonly string[] s_places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

    /// <summary>Decides.</summary>
    /// <param name="named">The browser that <c>MEMSIM_CHROMIUM</c> names; null for none.</param>
    /// <param name="required">What <c>MEMSIM_REQUIRE_BROWSER</c> says: "1" fails tests where there is none.</param>
    /// <param name="exists">Whether there is a file of that name.</param>
    public static BrowserChoice Of(string? named, string? required, Func<string, bool> exists)
    {
        string? found = named is { Length: > 0 } ? (exists(named) ? named : null) : s_places.FirstOrDefault(exists);
        if (found is not null)
        {
            return new BrowserChoice(BrowserDecision.Run, found, string.Empty);
        }

        string why = $"left out, no Chromium{(named is { Length: > 0 } ? $" at {named} (MEMSIM_CHROMIUM)" : string.Empty)}: install it (Debian: apt-get install chromium), or name one in MEMSIM_CHROMIUM";
        return new BrowserChoice(required == "1" ? BrowserDecision.Fail : BrowserDecision.LeaveOut, null, why);
    }
}
