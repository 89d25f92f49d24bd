namespace MemSim.Hardware;

/// <summary>A CPU's data caches, by physical line of 64 bytes: which level an access hits, and what that costs. Holds no data.</summary>
/// <remarks>Least recently used within a set; every level is filled on a miss. Other CPUs' writes do not take lines away.</remarks>
internal sealed class DataCache
{
    private const int LineShift = 6;
    private readonly Level[] _levels;
    private long _now;

    public DataCache(CacheGeometry geometry, MemoryCosts costs)
    {
        _levels =
        [
            new Level(geometry.L1Bytes, geometry.L1Ways, costs.L1CacheCycles),
            new Level(geometry.L2Bytes, geometry.L2Ways, costs.L2CacheCycles),
            new Level(geometry.LastLevelBytes, geometry.LastLevelWays, costs.LastLevelCacheCycles),
        ];
    }

    public long[] Hits { get; } = new long[3];

    public long Misses { get; private set; }

    /// <summary>Accesses a line.</summary>
    /// <returns>Cycles; -1 when memory has to answer.</returns>
    public int Access(ulong address)
    {
        ulong line = (address >> LineShift) + 1;
        int cycles = -1;
        _now++;
        for (int i = 0; i < _levels.Length && cycles < 0; i++)
        {
            if (_levels[i].Lookup(line, _now))
            {
                Hits[i]++;
                cycles = _levels[i].Cycles;
            }
        }

        Misses += cycles < 0 ? 1 : 0;
        return cycles;
    }

    /// <summary>What an access would cost.</summary>
    public int Peek(ulong address)
    {
        foreach (Level level in _levels)
        {
            if (level.Holds((address >> LineShift) + 1))
            {
                return level.Cycles;
            }
        }

        return -1;
    }

    private sealed class Level
    {
        private readonly ulong[] _lines;
        private readonly long[] _stamps;
        private readonly int _ways;
        private readonly ulong _sets;

        public Level(int bytes, int ways, int cycles)
        {
            if (ways < 1 || bytes < ways << LineShift)
            {
                throw new ArgumentException($"a cache of {bytes} bytes and {ways} ways does not exist");
            }

            _ways = ways;
            _sets = (ulong)((bytes >> LineShift) / ways);
            _lines = new ulong[(int)_sets * ways];
            _stamps = new long[_lines.Length];
            Cycles = cycles;
        }

        public int Cycles { get; }

        public bool Holds(ulong line)
        {
            int first = (int)(line % _sets) * _ways;
            return _lines.AsSpan(first, _ways).Contains(line);
        }

        /// <summary>Whether the line is there; it is afterwards.</summary>
        public bool Lookup(ulong line, long now)
        {
            int first = (int)(line % _sets) * _ways;
            int victim = first;
            for (int i = first; i < first + _ways; i++)
            {
                if (_lines[i] == line)
                {
                    _stamps[i] = now;
                    return true;
                }

                victim = _stamps[i] < _stamps[victim] ? i : victim;
            }

            _lines[victim] = line;
            _stamps[victim] = now;
            return false;
        }
    }
}
