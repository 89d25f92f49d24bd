namespace MemSim.Explorer.Sessions;

/// <summary>What the address of the page says: which view, which machine, which script.</summary>
public static class PageAddress
{
    /// <summary>The words of an address after the question mark.</summary>
    public static IReadOnlyDictionary<string, string> Parse(string address)
    {
        ArgumentNullException.ThrowIfNull(address);
        Dictionary<string, string> query = new(StringComparer.Ordinal);
        int start = address.IndexOf('?', StringComparison.Ordinal);
        if (start < 0)
        {
            return query;
        }

        int hash = address.IndexOf('#', start);
        foreach (string part in address[(start + 1)..(hash < 0 ? address.Length : hash)].Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            int equals = part.IndexOf('=', StringComparison.Ordinal);
            string key = equals < 0 ? part : part[..equals];
            query[Unescape(key)] = equals < 0 ? string.Empty : Unescape(part[(equals + 1)..]);
        }

        return query;
    }

    /// <summary>The link to a session's machine in the state it is in.</summary>
    public static string Of(Session session)
    {
        ArgumentNullException.ThrowIfNull(session);
        IEnumerable<string> words = session.Choice.ToQuery().Select(p => $"{p.Key}={Escape(p.Value)}");
        return "?machine&" + string.Join('&', words) + (session.Done.Count == 0 ? string.Empty : "&do=" + Escape(string.Join(';', session.Script)));
    }

    /// <summary>The commands of a link's script.</summary>
    public static string[] ScriptOf(IReadOnlyDictionary<string, string> query)
    {
        ArgumentNullException.ThrowIfNull(query);
        return query.TryGetValue("do", out string? script) ? script.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries) : [];
    }

    private static string Escape(string text) => Uri.EscapeDataString(text).Replace("%20", "+", StringComparison.Ordinal).Replace("%3B", ";", StringComparison.Ordinal).Replace("%2C", ",", StringComparison.Ordinal);

    private static string Unescape(string text) => Uri.UnescapeDataString(text.Replace('+', ' '));
}
