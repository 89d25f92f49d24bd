using MemSim.Captures;

namespace MemSim.Scenarios;

/// <summary>A step of a process in a scenario file: <c>{ "do": NAME, … }</c>.</summary>
internal sealed class ScenarioFileStep
{
    // What each step may say besides its name; the first ones up to the bar it must.
    private static readonly Dictionary<string, string> Fields = new(StringComparer.Ordinal)
    {
        ["anonymous"] = "size|",
        ["shared_memory"] = "size|",
        ["stack"] = "size|",
        ["map_file"] = "file|shared",
        ["sequential"] = "|touches stride write",
        ["random"] = "|touches write",
        ["zipf"] = "s|touches write",
        ["stack_like"] = "|touches write",
        ["hot_cold"] = "hot_part hot_share|touches write",
        ["read_file"] = "file|chunk times",
        ["write_file"] = "file|chunk times",
        ["fork_tree"] = "depth fan_out|",
        ["lock"] = "|",
        ["unmap"] = "|",
        ["kernel_pages"] = "blocks|order keep",
        ["try_blocks"] = "blocks order|",
        ["stay"] = "|",
    };

    private readonly HashSet<string> _given = new(StringComparer.Ordinal);
    private int _line;
    private string _do = "";
    private ByteSize _size;
    private ByteSize? _chunk;
    private string _file = "";
    private bool _shared = true;
    private long _touches;
    private int _stride = 1;
    private double _write = 1;
    private double _s;
    private double _hotPart;
    private double _hotShare;
    private int _times = 1;
    private int _depth;
    private int _fanOut;
    private long _blocks;
    private int _order;
    private double _keep = 1;

    public static ScenarioFileStep Read(ref JsonCursor cursor)
    {
        cursor.BeginObject();
        ScenarioFileStep step = new() { _line = cursor.Line };
        while (cursor.NextField(out string name))
        {
            step.ReadField(ref cursor, name);
        }

        step.CheckFields(ref cursor);
        return step;
    }

    public void AddTo(ProcessPlan plan, ref JsonCursor cursor)
    {
        try
        {
            AddTo(plan);
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException)
        {
            throw cursor.Fault($"'{_do}' in line {_line}: {ScenarioFile.Reason(e)}");
        }
    }

    private void AddTo(ProcessPlan plan)
    {
        _ = _do switch
        {
            "anonymous" => plan.Anonymous(_size),
            "shared_memory" => plan.SharedMemory(_size),
            "stack" => plan.Stack(_size),
            "map_file" => plan.MapFile(_file, _shared),
            "sequential" => plan.Sequential(_touches, _stride).WriteShare(_write),
            "random" => plan.Random(_touches).WriteShare(_write),
            "zipf" => plan.Zipf(_s, _touches).WriteShare(_write),
            "stack_like" => plan.StackLike(_touches).WriteShare(_write),
            "hot_cold" => plan.HotCold(_hotPart, _hotShare, _touches).WriteShare(_write),
            "read_file" => plan.ReadFile(_file, _chunk, _times),
            "write_file" => plan.WriteFile(_file, _chunk, _times),
            "fork_tree" => plan.ForkTree(_depth, _fanOut),
            "lock" => plan.Lock(),
            "unmap" => plan.Unmap(),
            "kernel_pages" => plan.KernelPages(_blocks, _order, _keep),
            "try_blocks" => plan.TryBlocks(_blocks, _order),
            _ => plan.Stay(),
        };
    }

    private void ReadField(ref JsonCursor cursor, string name)
    {
        _given.Add(name);
        switch (name)
        {
            case "do":
                _do = cursor.Text();
                break;
            case "size":
                _size = ScenarioFileReader.Size(ref cursor);
                break;
            case "chunk":
                _chunk = ScenarioFileReader.Size(ref cursor);
                break;
            case "file":
                _file = cursor.Text();
                break;
            case "shared":
                _shared = cursor.Truth();
                break;
            case "touches":
                _touches = cursor.Number(0, 1L << 50);
                break;
            case "stride":
                _stride = cursor.Int(1, int.MaxValue);
                break;
            case "write":
                _write = cursor.Real(0, 1);
                break;
            case "s":
                _s = cursor.Real(0, 10);
                break;
            case "hot_part":
                _hotPart = cursor.Real(0, 1);
                break;
            case "hot_share":
                _hotShare = cursor.Real(0, 1);
                break;
            case "times":
                _times = cursor.Int(1, int.MaxValue);
                break;
            case "depth":
                _depth = cursor.Int(1, 20);
                break;
            case "fan_out":
                _fanOut = cursor.Int(1, 1000);
                break;
            case "blocks":
                _blocks = cursor.Number(1, int.MaxValue);
                break;
            case "order":
                _order = cursor.Int(0, PageGeometry.MaxOrder);
                break;
            case "keep":
                _keep = cursor.Real(0, 1);
                break;
            default:
                throw cursor.Fault($"no step has a '{name}'");
        }
    }

    private void CheckFields(ref JsonCursor cursor)
    {
        if (!Fields.TryGetValue(_do, out string? fields))
        {
            throw cursor.Fault(_do.Length == 0 ? "a step needs a 'do'" : $"there is no step '{_do}': {string.Join(", ", Fields.Keys)}");
        }

        string[] parts = fields.Split('|');
        string[] required = parts[0].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (required.FirstOrDefault(f => !_given.Contains(f)) is { } missing)
        {
            throw cursor.Fault($"step '{_do}' needs '{missing}'");
        }

        string[] optional = parts[1].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (_given.FirstOrDefault(f => f != "do" && !required.Contains(f) && !optional.Contains(f)) is { } idle)
        {
            throw cursor.Fault($"step '{_do}' has no '{idle}'");
        }
    }
}
